"""`device`: what is known of the device that the request comes from.

One condition per attribute, so that a refusal names each that fails. A value that is missing, of the wrong type, or
that does not count (see `policy.pedigree`) is unknown: neither true nor false.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.model.device import ATTRIBUTES, CUSTOM
from proxy.model.facts import Facts
from proxy.policy.asked import Asked, asked
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import Condition
from proxy.policy.device_words import remedy, sentence
from proxy.policy.logic import EITHER, FALSE, TRUE, UNKNOWN, Value
from proxy.policy.pedigree import KEYS, Pedigree, Shortcoming, assurance, max_age, pedigree, sources
from proxy.policy.ranges import Misread

_ODD = (TypeError, ValueError, AttributeError, OverflowError)  # what a value that is none of ours may raise


class DeviceCondition(Condition):
    """A condition on the device. It is open for whoever could come from another device, or mend theirs."""

    name = "device"

    def settled(self, asker: Asker) -> Value | None:
        """The value for this asker whatever the request, or None when the request matters."""
        return EITHER if asker.mended else None

    def value(self, facts: Facts, asker: Asker) -> Value:
        """The value for these facts."""
        return EITHER if asker.mended else self.of_device(facts)

    def holds(self, facts: Facts) -> bool:
        """Whether it is known to be as asked."""
        return self.of_device(facts) == TRUE

    def fails(self, facts: Facts) -> bool:
        """Whether it is known to be different."""
        return self.of_device(facts) == FALSE

    def of_device(self, facts: Facts) -> Value:
        """The value for the device the request comes from."""
        raise NotImplementedError

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that it looks at."""
        raise NotImplementedError


class DeviceAttribute(DeviceCondition):
    """One attribute is as asked."""

    def __init__(self, attribute: str, wanted: Asked, needed: Pedigree) -> None:
        self._attribute = attribute
        self._wanted = wanted
        self._test = wanted.test
        self._needed = needed
        self._lacks = needed.lacks

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that it looks at."""
        return (self._attribute,)

    def of_device(self, facts: Facts) -> Value:
        """The value for the device the request comes from."""
        device = facts.device
        if device is None:
            return UNKNOWN
        try:
            found = device.attributes.get(self._attribute)
            if found is None or self._lacks(found, facts.time) is not None:
                return UNKNOWN
            return self._test(found.value, facts.time)
        except _ODD:
            return UNKNOWN

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        if asker.identity is None:
            return "This depends on the device you use."
        wanted = "" if value == TRUE else f"{self._attribute}: {self._wanted.text} is asked"
        return sentence(self._attribute, facts, wanted, self._shortcoming(facts), self._needed)

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        person = asker.identity is not None and asker.kind is Kind.PERSON
        return remedy(self._attribute, facts, self._shortcoming(facts), self._needed) if person else ""

    def _shortcoming(self, facts: Facts) -> Shortcoming | None:
        found = None if facts.device is None else facts.device.attributes.get(self._attribute)
        if found is None:
            return Shortcoming.ABSENT if facts.device is not None else Shortcoming.NO_DEVICE
        try:
            unreadable = self._test(found.value, facts.time) == UNKNOWN
            return self._lacks(found, facts.time) or (Shortcoming.TYPE if unreadable else None)
        except _ODD:
            return Shortcoming.TYPE


class OsVersion(DeviceCondition):
    """`os_version` with what is asked of each system. Of a system that is not named, no version will do."""

    def __init__(self, wanted: Mapping[str, Asked], needed: Pedigree) -> None:
        self._system = DeviceAttribute("os", asked("os", list(wanted)), needed)
        self._versions = {system: DeviceAttribute("os_version", one, needed) for system, one in wanted.items()}

    @property
    def attributes(self) -> tuple[str, ...]:
        """All that it looks at."""
        return ("os", "os_version")

    def of_device(self, facts: Facts) -> Value:
        """The value for the device the request comes from."""
        value = self._system.of_device(facts)
        return self._telling(facts).of_device(facts) if value == TRUE else value

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        return self._telling(facts).explain(facts, asker, value)

    def remedy(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence on how to mend it."""
        return self._telling(facts).remedy(facts, asker, value)

    def _telling(self, facts: Facts) -> DeviceAttribute:
        """The attribute that decides."""
        if facts.device is None or self._system.of_device(facts) != TRUE:
            return self._system
        return self._versions[str(facts.device.attributes["os"].value)]


def device(written: Mapping[str, Any]) -> list[DeviceCondition]:
    """One condition per attribute asked for. Raises the first of `problems`."""
    for problem in problems(written):
        raise problem
    needed = pedigree(written)
    return [_attribute(name, wanted, needed) for name, wanted in written.items() if name not in KEYS]


def _attribute(name: str, wanted: object, needed: Pedigree) -> DeviceCondition:
    if name == "os_version" and isinstance(wanted, Mapping):
        return OsVersion({system: asked(name, one) for system, one in wanted.items()}, needed)
    return DeviceAttribute(name, asked(name, wanted), needed)


def problems(written: Mapping[str, Any]) -> Iterator[Misread]:
    """Everything that is wrong with a `device` condition; the `key` of each says where in it, "" for all of it."""
    found = False
    for name, wanted in written.items():
        problem = _problem(name, wanted)
        if problem is not None:
            problem.key = problem.key or name
            found = True
            yield problem
    if all(name in KEYS for name in written):
        yield Misread("it names no attribute of a device", "such as device: {managed: true}")
    elif not found:
        yield from _together(written)


def _problem(name: str, wanted: object) -> Misread | None:
    try:
        if name in _OF_ALL:
            _OF_ALL[name](wanted)
        else:
            _attribute(_known(name), wanted, Pedigree())
    except Misread as problem:
        return problem
    return None


_OF_ALL = {"max_age": max_age, "source": sources, "assurance": assurance}


def _known(name: str) -> str:
    if name in ATTRIBUTES or (name.startswith(CUSTOM) and len(name) > len(CUSTOM)):
        return name
    near = difflib.get_close_matches(name, (*ATTRIBUTES, *KEYS), 1)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(ATTRIBUTES)}, custom.*"
    raise Misread(f'"{name}" is no attribute of devices', hint)


def _together(written: Mapping[str, Any]) -> Iterator[Misread]:
    """What contradicts something else in the same condition."""
    try:
        pedigree(written)
    except Misread as problem:
        yield problem
    versions, systems = written.get("os_version"), written.get("os")
    if isinstance(versions, Mapping) and systems is not None:
        wanted = {systems} if isinstance(systems, str) else set(systems)
        if wanted.isdisjoint(versions):
            message = f'"os_version" is asked of {", ".join(versions)} and never of {", ".join(sorted(wanted))}'
            yield Misread(message, 'name the same systems in both, or leave "os" out', "os_version")
