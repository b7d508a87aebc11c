"""Fuzzer of reports: `python tests/fuzz/fuzz_posture_report.py [seconds] [seed]`. Exit 1 on a finding.

Changes genuine reports, before they are signed (members, types, sizes, bytes) and after (bits, spelling, splices), and
sends them. A report is taken or refused with DeviceRefused, nothing else may come out of it; what was changed after it
was signed is never taken; and of what is taken, every value is of its attribute's type and can be put on record.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "devices"))

from device_people import GOOD, LOGIN, Laptop, World

from proxy.audit.event import encode_facts
from proxy.devices.errors import DeviceRefused
from proxy.devices.memory import MemoryDeviceStore
from proxy.devices.reports import checked
from proxy.model.device import ATTRIBUTES, Bound
from proxy.model.facts import Facts
from proxy.model.report import REPORT_TYPE

ODD = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    1e308,
    2**63,
    2**70,
    -(2**63),
    "",
    "x",
    "1.2",
    "1." * 9,
    "\ud800",
    "\x00",
    "a" * 300,
    [],
    ["a"],
    ["a", 1],
    ["a" * 300],
    ["a"] * 70,
    {},
    {"a": 1},
    "linux",
    "14.2",
    LOGIN,
    [LOGIN],
    "custom.x",
    REPORT_TYPE,
)
NAMES = (*ATTRIBUTES, "custom.a", "custom.", "custom.A", "custom." + "x" * 90, "", "x", "\x00", "custom.a\n")
SPELLINGS = "ABCXYZabcxyz0189-_=+/. \n\x00é"


def members(rng: random.Random, claims: dict[str, Any], header: dict[str, Any]) -> None:
    """One change before it is signed."""
    attributes = claims.get("attributes")
    where = rng.choice((claims, header, attributes, attributes))
    if not isinstance(where, dict):
        return
    known = (
        [*where, *NAMES, "jwk", "crit", "b64", "device", "seq", "iat"] if where is not header else [*where, "jku", "x"]
    )
    name = rng.choice(known)
    if rng.random() < 0.2:
        where.pop(name, None)
    elif where is not claims or name != "attributes":
        where[name] = rng.choice(ODD)


def bytes_of(rng: random.Random, value: dict[str, Any]) -> bytes:
    """The JSON of it, mostly; sometimes not quite."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice((b"\xff", b"{", b"]", b"NaN", b",", b"\\u0000", b"1e999", text[at:]))
            + text[at + 1 :]
        )
    return text


def respelled(rng: random.Random, token: str, other: str) -> str:
    """One to three changes after it was signed."""
    for _ in range(rng.randint(1, 3)):
        at, to = sorted((rng.randrange(len(token) + 1), rng.randrange(len(token) + 1)))
        token = rng.choice(
            (
                token[:at] + rng.choice(SPELLINGS) + token[at + 1 :],
                token[:at] + rng.choice(SPELLINGS) + token[at:],
                token[:at] + token[to:],
                token[:at] + other[at:],
            )
        )
    return token


async def taken(world: World, token: str) -> bool:
    """Was it accepted? Any error but DeviceRefused is a finding and propagates."""
    try:
        await world.devices.report(token, world.now)
    except DeviceRefused:
        return False
    return True


async def case(rng: random.Random, world: World, laptop: Laptop) -> str | None:
    """One report and what is done to it. Returns what went wrong, or None."""
    nonce = await world.devices.nonce(laptop.id, world.now)
    claims = laptop.claims(nonce, world.now, attributes=dict(GOOD))
    header: dict[str, Any] = {"alg": "ES256", "typ": REPORT_TYPE, "kid": laptop.id}
    genuine = laptop.report(nonce, world.now)
    for _ in range(rng.randrange(4)):
        members(rng, claims, header)
    token = laptop.sign(bytes_of(rng, header), bytes_of(rng, claims))
    if rng.random() < 0.5:
        changed = respelled(rng, token, genuine)
        if changed not in (token, genuine) and await taken(world, changed):
            return f"changed after it was signed, and taken: {changed!r}"
        return None
    if not await taken(world, token):
        return None
    known = world.devices.facts(Bound(device=laptop.id, binding="agent"), None)
    if known is None:
        return f"taken, but the device is not known any more: {token!r}"
    said = {name: one.value for name, one in known.attributes.items() if one.source == "agent"}
    checked(said)
    encode_facts(Facts(route="r", host="h", method="GET", path="/", time=world.now, device=known))
    return f"taken twice: {token!r}" if await taken(world, token) else None


async def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_posture_report: seed {seed}\n")
    rng, world = random.Random(seed), World(MemoryDeviceStore())
    laptop = await world.enrolled()
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            found = await case(rng, world, laptop)
        except Exception as error:  # noqa: BLE001  whatever comes out is the finding
            found = f"{type(error).__name__}: {error}"
        if found:
            sys.stdout.write(f"{found}\nafter {tried} reports\n")
            return 1
        tried += 1
    sys.stdout.write(f"fuzz_posture_report: {tried} reports, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(asyncio.run(main(float(words[0]), int(words[1]))))
