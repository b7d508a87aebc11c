"""CrowdStrike Falcon: hosts, and their Zero Trust Assessment. Scopes: Hosts read, Zero Trust Assessment read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from proxy.devices.management.api import Api, ManagementUnavailable, rows
from proxy.devices.management.words import Told, moment, one_of, system_of, texts, version_in
from proxy.model.device import Value

FALCON: Final = "https://api.crowdstrike.com"
TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105  # a path
_SCROLL: Final = "/devices/queries/devices-scroll/v1"
_HOSTS: Final = "/devices/entities/devices/v2"
_SCORES: Final = "/zero-trust-assessment/entities/assessments/v1"
_PAGE: Final = 1000  # ids
_SCORES_AT_ONCE: Final = 100  # ids in one query string
_MOST_PAGES: Final = 1000
_RUNNING: Final = {"no": True, "yes": False}  # reduced functionality mode: the sensor protects, or only looks on
_CONTAINED: Final = dict.fromkeys(("contained", "containment_pending"), False)


class CrowdStrike:
    """All hosts, thousand by thousand."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def devices(self) -> AsyncIterator[Told]:
        """Each host. Raises ManagementUnavailable."""
        offset = ""
        for _ in range(_MOST_PAGES):
            answer = await self._api.get(_SCROLL, {"limit": str(_PAGE)} | ({"offset": offset} if offset else {}))
            ids = _ids(answer)
            if ids:
                hosts = rows(await self._api.post(_HOSTS, {"ids": ids}), "resources", _HOSTS)
                scores = await self._scores(ids)
                for row in hosts:
                    if (told := told_by(row, scores.get(str(row.get("device_id"))))) is not None:
                        yield told
            offset = _next(answer)
            if not ids or not offset:
                return
        raise ManagementUnavailable(f"{_SCROLL}: the pages have no end")

    async def _scores(self, ids: list[str]) -> dict[str, Mapping[str, Any]]:
        """Assessments by host; hosts that have none are simply missing in the answer."""
        found: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(ids), _SCORES_AT_ONCE):
            answer = await self._api.get(_SCORES, {"ids": ids[start : start + _SCORES_AT_ONCE]}, absent=True)
            found |= {str(row.get("aid")): row for row in rows({"resources": [], **answer}, "resources", _SCORES)}
        return found


def told_by(row: Mapping[str, Any], assessment: Mapping[str, Any] | None) -> Told | None:
    """What Falcon says of one host."""
    matches = texts(row, id="device_id", serial="serial_number", name="hostname")
    observed = moment(row.get("last_seen"))
    if "id" not in matches or observed is None:
        return None
    return Told(
        matches,
        {
            **system_of(row.get("platform_name")),
            **version_in(row.get("os_version")),
            **one_of(row.get("reduced_functionality_mode"), _RUNNING, "edr_running"),
            **one_of(row.get("status"), _CONTAINED, "threat_free"),
            **_score(assessment or {}),
        },
        observed,
    )


def _score(assessment: Mapping[str, Any]) -> dict[str, Value]:
    scores = assessment.get("assessment")
    overall = scores.get("overall") if isinstance(scores, dict) else None
    if isinstance(overall, bool) or not isinstance(overall, int | float) or not 0 <= overall <= 100:
        return {}
    return {"score": overall}


def _ids(answer: Mapping[str, Any]) -> list[str]:
    listed = answer.get("resources")
    if not isinstance(listed, list):
        raise ManagementUnavailable(f"{_SCROLL}: the answer has no list “resources”")
    return [one for one in listed if isinstance(one, str)][:_PAGE]


def _next(answer: Mapping[str, Any]) -> str:
    meta = answer.get("meta")
    pages = meta.get("pagination") if isinstance(meta, dict) else None
    offset = pages.get("offset") if isinstance(pages, dict) else None
    return offset if isinstance(offset, str) else ""
