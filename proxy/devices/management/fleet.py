"""Fleet (osquery): hosts, and whether they pass its policies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from proxy.devices.management.api import Api, ManagementUnavailable, rows
from proxy.devices.management.words import Told, flag, moment, one_of, system_of, texts, version_in
from proxy.model.device import Value

_PATH: Final = "/api/v1/fleet/hosts"
_PAGE: Final = 100
_MOST_PAGES: Final = 10_000
_PASSES: Final = {"pass": True, "fail": False}
_ENROLLED: Final = {"On (automatic)": True, "On (manual)": True, "On (personal)": True, "Off": False, "Pending": False}


class Fleet:
    """All hosts. `policies`: attribute → the name of the policy whose passing makes it true."""

    def __init__(self, api: Api, policies: Mapping[str, str]) -> None:
        self._api = api
        self._policies = policies

    async def devices(self) -> AsyncIterator[Told]:
        """Each host. Raises ManagementUnavailable."""
        asked = {"per_page": str(_PAGE), "order_key": "id", "populate_policies": "true", "device_mapping": "true"}
        for page in range(_MOST_PAGES):
            found = rows(await self._api.get(_PATH, {**asked, "page": str(page)}), "hosts", _PATH)
            for row in found:
                if (told := told_by(row, self._policies)) is not None:
                    yield told
            if len(found) < _PAGE:
                return
        raise ManagementUnavailable(f"{_PATH}: the pages have no end")


def told_by(row: Mapping[str, Any], policies: Mapping[str, str]) -> Told | None:
    """What Fleet says of one host."""
    matches = {**texts(row, id="uuid", serial="hardware_serial", name="hostname"), **_email(row)}
    observed = moment(row.get("detail_updated_at")) or moment(row.get("seen_time"))
    if "id" not in matches or observed is None:
        return None
    mdm = row.get("mdm")
    return Told(
        matches,
        {
            **system_of(row.get("platform")),
            **version_in(row.get("os_version")),
            **one_of(mdm.get("enrollment_status") if isinstance(mdm, dict) else None, _ENROLLED, "managed"),
            **flag(row.get("disk_encryption_enabled"), "disk_encrypted"),
            **_by_policy(row, policies),
        },
        observed,
    )


def _by_policy(row: Mapping[str, Any], policies: Mapping[str, str]) -> dict[str, Value]:
    """A policy that did not run says nothing; of two with one name, one that fails counts."""
    results: dict[str, bool] = {}
    listed = row.get("policies")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("name"), str) and one.get("response") in _PASSES:
            results[one["name"]] = results.get(one["name"], True) and _PASSES[one["response"]]
    return {attribute: results[policy] for attribute, policy in policies.items() if policy in results}


def _email(row: Mapping[str, Any]) -> dict[str, str]:
    mapping = row.get("device_mapping")
    addresses = {
        one["email"]
        for one in (mapping if isinstance(mapping, list) else ())
        if isinstance(one, dict) and isinstance(one.get("email"), str) and 0 < len(one["email"]) <= 255
    }
    return {"email": addresses.pop()} if len(addresses) == 1 else {}
