"""`device` by the naive reading: what is known of a device and what a rule asks of it; no code of `proxy.policy`."""

from __future__ import annotations

from typing import Any

from proxy.model.device import ATTRIBUTES, Observation
from proxy.model.facts import Facts

Truth = bool | None
UNITS = {"m": 60, "h": 3600, "d": 86_400}
LEVELS = ["", "self-reported", "managed", "attested"]


def device(asked: dict[str, Any], facts: Facts) -> Truth:
    values = [attribute(key, wanted, asked, facts) for key, wanted in asked.items() if key not in PEDIGREE]
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def attribute(key: str, wanted: Any, asked: dict[str, Any], facts: Facts) -> Truth:
    known = {} if facts.device is None else facts.device.attributes
    if key == "os_version" and isinstance(wanted, dict):
        system = attribute("os", list(wanted), asked, facts)
        return attribute(key, wanted[known["os"].value], asked, facts) if system else system
    found = known.get(key)
    needed = [(test, asked[name]) for name, test in PEDIGREE.items() if name in asked]
    if found is None or not all(test(written, found, facts.time) for test, written in needed):
        return None
    if facts.time >= found.expires or found.observed > facts.time + 60:
        return None
    return compare(ATTRIBUTES.get(key, "custom"), found.value, wanted if isinstance(wanted, list) else [wanted])


def fresh(written: str, found: Observation, time: float) -> bool:
    ageless = found.source in ("inventory", "certificate")
    return ageless or time - found.observed <= int(written[:-1]) * UNITS[written[-1]]


def from_source(written: Any, found: Observation, time: float) -> bool:
    return any(found.source == one or found.source.split(":")[0] == one for one in written)


def sure(written: str, found: Observation, time: float) -> bool:
    return found.assurance >= LEVELS.index(written)


PEDIGREE = {"max_age": fresh, "source": from_source, "assurance": sure}


def compare(kind: str, value: Any, wanted: list[Any]) -> Truth:
    types = {"boolean": bool, "number": (int, float), "version": str, "text": str, "set": tuple}
    if not isinstance(value, types[kind]) or (kind == "number" and isinstance(value, bool)):
        return None
    if kind == "version" and numbers(value) is None:
        return None
    return any(fits(kind, value, one) for one in wanted)


def fits(kind: str, value: Any, wanted: Any) -> bool:
    if kind == "set":
        return wanted in value
    if not isinstance(wanted, str) or kind == "text":
        return bool(value == wanted)
    ordered = numbers if kind == "version" else float
    for part in wanted.split(","):
        sign = part.strip().rstrip("0123456789. ")
        left, right = padded(ordered(value), ordered(part.strip().removeprefix(sign).strip()))
        kept = {"": left == right, ">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}
        if not kept[sign]:
            return False
    return True


def numbers(text: str) -> list[int] | None:
    parts = text.split(".")
    return [int(part) for part in parts] if all(part.isascii() and part.isdigit() for part in parts) else None


def padded(left: Any, right: Any) -> tuple[Any, Any]:
    if isinstance(left, float):
        return left, right
    width = max(len(left), len(right))
    return left + [0] * (width - len(left)), right + [0] * (width - len(right))
