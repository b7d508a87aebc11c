"""Microsoft Intune through Microsoft Graph v1.0: managedDevices, with the application permission
DeviceManagementManagedDevices.Read.All."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from proxy.devices.management.api import Api, ManagementUnavailable, rows
from proxy.devices.management.words import Told, flag, moment, one_of, system_of, texts, version_in

GRAPH: Final = "https://graph.microsoft.com"
# Where tokens for each national cloud come from; for any other address, from there.
LOGINS: Final = {
    GRAPH: "https://login.microsoftonline.com",
    "https://graph.microsoft.us": "https://login.microsoftonline.us",
    "https://dod-graph.microsoft.us": "https://login.microsoftonline.us",
    "https://microsoftgraph.chinacloudapi.cn": "https://login.partner.microsoftonline.cn",
}
_PATH: Final = "/v1.0/deviceManagement/managedDevices"
_SELECT: Final = (
    "id,azureADDeviceId,deviceName,serialNumber,userPrincipalName,operatingSystem,osVersion,managedDeviceOwnerType,"
    "complianceState,isEncrypted,jailBroken,partnerReportedThreatState,lastSyncDateTime"
)
_MOST_PAGES: Final = 2000
_NO_DEVICE: Final = "00000000-0000-0000-0000-000000000000"
# A device in its grace period is let in by Intune's own policies, so it counts as compliant here as well.
_COMPLIANT: Final = {"compliant": True, "inGracePeriod": True, "noncompliant": False, "conflict": False, "error": False}
_OWNERSHIP: Final = {"company": "company", "personal": "personal"}
_INTEGRITY: Final = {"False": True, "True": False}
_THREATS: Final = {
    **dict.fromkeys(("activated", "secured"), True),
    **dict.fromkeys(("lowSeverity", "mediumSeverity", "highSeverity", "compromised"), False),
}
_RUNNING: Final = {"activated": True, "secured": True, "deactivated": False, "unresponsive": False}


class Intune:
    """All managed devices of one tenant, page by page."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def devices(self) -> AsyncIterator[Told]:
        """Each device. Raises ManagementUnavailable."""
        answer = await self._api.get(_PATH, {"$select": _SELECT, "$top": "500"})
        for _ in range(_MOST_PAGES):
            for row in rows(answer, "value", _PATH):
                if (told := told_by(row)) is not None:
                    yield told
            following = answer.get("@odata.nextLink")
            if following is None:
                return
            if not isinstance(following, str):
                break
            answer = await self._api.get(following)
        raise ManagementUnavailable(f"{_PATH}: the pages have no end")


def told_by(row: Mapping[str, Any]) -> Told | None:
    """What one managedDevice says. The id is that of Entra, which its tokens have as claim `deviceid`."""
    matches = texts(row, id="azureADDeviceId", serial="serialNumber", email="userPrincipalName", name="deviceName")
    if matches.get("id", _NO_DEVICE) == _NO_DEVICE:
        matches |= texts(row, id="id")
    observed = moment(row.get("lastSyncDateTime"))
    if "id" not in matches or matches["id"] == _NO_DEVICE or observed is None:
        return None
    threat = row.get("partnerReportedThreatState")
    return Told(
        matches,
        {
            "managed": True,
            **system_of(row.get("operatingSystem")),
            **version_in(row.get("osVersion")),
            **one_of(row.get("managedDeviceOwnerType"), _OWNERSHIP, "ownership"),
            **one_of(row.get("complianceState"), _COMPLIANT, "compliant"),
            **flag(row.get("isEncrypted"), "disk_encrypted"),
            **one_of(row.get("jailBroken"), _INTEGRITY, "integrity_ok"),
            **one_of(threat, _THREATS, "threat_free"),
            **one_of(threat, _RUNNING, "edr_running"),
        },
        observed,
    )
