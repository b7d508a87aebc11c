"""xs:dateTime as SAML uses it (core, section 1.3.3: UTC, no reliance on more than milliseconds). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from proxy.authn.saml.strict_xml import Element, XmlRefused, local_name

SKEW = 60.0  # seconds a clock may be wrong, either way
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?")


def instant_of(element: Element, name: str) -> float | None:
    """Attribute `name` in seconds since the epoch, None when absent. Raises `XmlRefused` for anything but a time."""
    value = element.get(name)
    if value is None:
        return None
    try:
        return seconds(str(value))
    except ValueError:
        raise XmlRefused(f"{local_name(element)} {name} is not a time") from None


def required_instant(element: Element, name: str) -> float:
    """As `instant_of`, refusing an element without it."""
    value = instant_of(element, name)
    if value is None:
        raise XmlRefused(f"{local_name(element)} has no {name}")
    return value


def seconds(text: str) -> float:
    """Seconds since the epoch. A time zone must be there: without one nobody knows what is meant. Raises ValueError."""
    found = _INSTANT.fullmatch(text.strip(" \t\r\n"))
    if found is None:
        raise ValueError("not a time with a time zone")
    whole, fraction, zone = found.groups()
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return moment + float(fraction or 0) - _offset(zone)


def _offset(zone: str) -> float:
    if zone == "Z":
        return 0.0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError("not a time zone")
    return (hours * 3600 + minutes * 60) * (1 if zone[0] == "+" else -1)


def spelled(moment: float) -> str:
    """Seconds since the epoch as SAML writes them: UTC, whole milliseconds."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def duration(text: str) -> float:
    """Seconds of an xs:duration without years and months, whose length nobody knows. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError("not a duration of days, hours, minutes and seconds")
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return float(days * 86_400 + hours * 3600 + minutes * 60 + rest)
