"""What an inventory of a hundred thousand devices costs: `python -m loadtests.micro_devices [devices]`.

Devices as they are: enrolled by people, with a key, fifteen values from the agent and eight from a management system,
in the SQLite store. Prints how long a worker takes to load them and how much memory that takes, then the look-ups that
are on the way of a request, and what a report costs from JWS to stored.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from proxy.devices.packing import row_of
from proxy.devices.record import DeviceRecord, Statement
from proxy.devices.service import Devices
from proxy.devices.sqlite import TABLES, SqliteDeviceStore, write
from proxy.model.device import Assurance, Bound
from proxy.model.identity import Certificate
from proxy.model.report import Key
from proxy.sessions.database import Database, transaction
from proxy.sessions.seal import Sealer
from proxy.settings import schema

NOW = 1_800_000_000.0
SETTINGS = schema.Devices(certificates=schema.DeviceCertificates(by="fingerprint"))


def device(number: int, rng: random.Random) -> DeviceRecord:
    """One device as a year of use leaves it."""
    text = f"{number:08d}"
    agent = {
        "os": "linux",
        "os_version": "12.5",
        "patch_age_days": rng.randrange(40),
        "disk_encrypted": True,
        "screen_lock": True,
        "firewall": rng.random() < 0.9,
        "secure_boot": True,
        "edr_running": True,
        "agent_version": "0.1.0",
        "custom.kernel": "6.1.0-28",
        "custom.ram_gb": 32,
        "custom.desktop": "gnome",
        "custom.timezone": "Europe/Berlin",
        "integrity_ok": True,
        "custom.uptime_days": rng.randrange(90),
    }
    management = {
        "managed": True,
        "compliant": rng.random() < 0.95,
        "ownership": "company",
        "os": "linux",
        "os_version": "12.5",
        "score": rng.randrange(100),
        "risk": "low",
        "threat_free": True,
    }
    said = (
        Statement(
            source="agent", observed=NOW - 60, expires=NOW + 3540, assurance=Assurance.SELF_REPORTED, values=agent
        ),
        Statement(
            source="management:intune",
            observed=NOW - 300,
            expires=NOW + 86100,
            assurance=Assurance.MANAGED,
            values=management,
        ),
    )
    key = Key(kty="EC", crv="P-256", x=rng.randbytes(32).hex()[:43], y=rng.randbytes(32).hex()[:43])
    return DeviceRecord(
        id=rng.randbytes(16).hex(),
        owner=f"corp:{text}",
        label=f"Person {text}",
        email=f"person{text}@example.com",
        name=f"laptop-{text}",
        os="linux",
        serial=f"SN{text}",
        key=key,
        thumbprint=rng.randbytes(32).hex()[:43],
        cert_sha256=rng.randbytes(32).hex(),
        approved=True,
        vouched=True,
        tags=("engineering",),
        seq=rng.randrange(9999),
        created=NOW - 3e7,
        last_seen=NOW - 60,
        statements=said,
        aliases=(f"{rng.randbytes(8).hex()}-intune",),
    )


async def filled(path: Path, count: int) -> list[DeviceRecord]:
    """A store of that many devices; returns a few of them."""
    rng = random.Random(7)
    known: list[DeviceRecord] = []

    def batches() -> Iterator[list[DeviceRecord]]:
        for first in range(0, count, 5000):
            yield [device(number, rng) for number in range(first, min(first + 5000, count))]

    database = Database(path, name="fill", create=True, patience=60.0, tables=TABLES)
    for batch in batches():
        await database.run(lambda db, batch=batch: _insert(db, batch))
        known.extend(rng.sample(batch, min(50, len(batch))))
    await database.close()
    return known


def _insert(db: sqlite3.Connection, batch: list[DeviceRecord]) -> None:
    with transaction(db):
        for one in batch:
            write(db, one)


def resident() -> float:
    """MiB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def each(call: Callable[[], object], rounds: int) -> float:
    """µs of CPU for one call."""
    began = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - began) / rounds * 1e6


async def _nothing(_device: str) -> None:
    """Nobody is told."""


async def _no(_key: str, _expires: float) -> bool:
    return False


async def _none(_device: str) -> int:
    return 0


async def main(count: int) -> None:
    """Fill a store in a temporary folder, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.devices.db"
        known = await filled(path, count)
        size = sum(len(row_of(one).packed) for one in known) / len(known)
        store = SqliteDeviceStore(path)
        devices = Devices(
            store, SETTINGS, Sealer(b"k" * 32), lambda: NOW, _nothing, _no, _none, audience="https://login.example"
        )
        gc.collect()
        before = resident()
        began, worked = time.perf_counter(), time.process_time()
        await devices.start()
        took, worked = time.perf_counter() - began, time.process_time() - worked
        gc.collect()
        grown = resident() - before
        print(f"{count} devices of {size:.0f} bytes each: loaded in {took:.2f} s ({worked:.2f} s of CPU),")
        print(f"  {grown:.0f} MiB more in memory")
        report(devices, known)
        await store.close()


def report(devices: Devices, known: list[DeviceRecord]) -> None:
    """The look-ups, one line each."""
    one = known[0]
    bound = Bound(device=one.id, binding="agent", proved_at=NOW, address="192.0.2.7")
    shown = Certificate(sha256=one.cert_sha256, serial="1", names=(), not_after=NOW + 9e6, good_until=NOW + 9e6)
    devices.facts(bound, None)
    devices.facts(bound, shown)
    others = iter([Bound(device=other.id, binding="agent") for other in known[1:]])
    lines = {
        "facts of a device, cached": each(lambda: devices.facts(bound, None), 100_000),
        "the same by its certificate": each(lambda: devices.facts(bound, shown), 100_000),
        "facts of a device, not cached": each(lambda: devices.facts(next(others), None), len(known) - 1),
        "which device a certificate names": each(lambda: devices.of_certificate(shown), 100_000),
        "may the session be used from here": each(lambda: devices.standing(bound, None, "192.0.2.7", NOW), 100_000),
    }
    for name, micro in lines.items():
        print(f"  {name:<36}{micro:8.2f} µs")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
