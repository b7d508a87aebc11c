"""What the device tests share: a world with a clock to turn by hand, laptops that hold keys, stores of every kind."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.devices.memory import MemoryDeviceStore
from proxy.devices.record import DeviceRecord
from proxy.devices.service import Devices
from proxy.devices.sqlite import SqliteDeviceStore
from proxy.devices.store import DeviceStore
from proxy.model.identity import Certificate, Identity
from proxy.model.report import ENROL_TYPE, PROOF_TYPE, REPORT_TYPE
from proxy.sessions.memory import MemoryStore
from proxy.sessions.seal import Sealer
from proxy.settings import schema

NOON = 1_800_000_000.0
LOGIN = "https://login.example.com"
GOOD = {"os": "linux", "os_version": "12.5", "disk_encrypted": True, "screen_lock": True, "firewall": True}

# A further store becomes a row here and must pass test_device_store_contract.py as it stands.
KINDS: dict[str, Callable[[Path], DeviceStore]] = {
    "memory": lambda _: MemoryDeviceStore(),
    "sqlite": lambda folder: SqliteDeviceStore(folder / "state.devices.db"),
}


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DeviceStore]:
    opened = KINDS[request.param](tmp_path)
    yield opened
    await opened.close()


def person(name: str = "ann", provider: str = "corp") -> Identity:
    return Identity(kind="person", subject=f"sub-{name}", provider=provider, email=f"{name}@example.com", name=name)


def record(device: str = "d1", **changes: Any) -> DeviceRecord:
    fields = {"id": device, "owner": "corp:sub-ann", "label": "ann", "email": "ann@example.com", "name": device}
    return DeviceRecord(**{**fields, "created": NOON, "last_seen": NOON, **changes})


def certificate(sha256: str = "ab" * 32, **changes: Any) -> Certificate:
    fields = {"sha256": sha256, "serial": "01", "names": (), "not_after": NOON + 9e6, "good_until": NOON + 86400}
    return Certificate(**{**fields, **changes})


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Laptop:
    """Somebody's machine: it holds a key and signs whatever it is told to."""

    def __init__(self) -> None:
        self.private = generate_private_key(SECP256R1())
        numbers = self.private.public_key().public_numbers()
        x, y = (b64(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
        self.key = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        self.id = ""
        self.seq = itertools.count(1)

    def sign(self, header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes) -> str:
        parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims)]
        text = ".".join(map(b64, parts))
        r, s = decode_dss_signature(self.private.sign(text.encode(), ECDSA(SHA256())))
        return f"{text}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def wish(self, code: str, now: float, **changes: Any) -> str:
        claims = {"code": code, "aud": LOGIN, "iat": int(now), "key": self.key, "name": "ann-laptop", "os": "linux"}
        return self.sign({"alg": "ES256", "typ": ENROL_TYPE}, {**claims, "serial": "SN-1", **changes})

    def claims(self, nonce: str, now: float, **changes: Any) -> dict[str, Any]:
        claims = {"device": self.id, "aud": LOGIN, "nonce": nonce, "seq": next(self.seq), "iat": int(now)}
        return {**claims, "attributes": GOOD, **changes}

    def report(self, nonce: str, now: float, **changes: Any) -> str:
        return self.sign({"alg": "ES256", "typ": REPORT_TYPE, "kid": self.id}, self.claims(nonce, now, **changes))

    def proof(self, challenge: str, now: float, **changes: Any) -> str:
        claims = {"device": self.id, "aud": LOGIN, "challenge": challenge, "iat": int(now), **changes}
        return self.sign({"alg": "ES256", "typ": PROOF_TYPE, "kid": self.id}, claims)


class World:
    """One worker's inventory, and what it told others. `now` is turned by hand."""

    def __init__(self, store: DeviceStore, **settings: Any) -> None:
        self.now = NOON
        self.store = store
        self.settings = schema.Devices(**{"enrolment": "open", **settings})
        self.told: list[str] = []
        self.ended: list[str] = []
        self.consumed = MemoryStore()
        self.devices = Devices(
            store,
            self.settings,
            Sealer(b"k" * 32),
            lambda: self.now,
            self.announce,
            self.consumed.consume,
            self.end_sessions,
            audience=LOGIN,
        )

    async def announce(self, device: str) -> None:
        self.told.append(device)
        await self.devices.changed(device, self.now)

    async def end_sessions(self, device: str) -> int:
        assert not self.devices._inventory.counts(device), "first it counts no longer, then its sessions end"
        self.ended.append(device)
        return 1

    async def enrolled(self, who: Identity | None = None, **changes: Any) -> Laptop:
        laptop = Laptop()
        code = await self.devices.new_code(who or person(), self.now)
        laptop.id = (await self.devices.enrol(laptop.wish(code, self.now, **changes), self.now)).device
        return laptop

    async def reported(self, laptop: Laptop, **attributes: Any) -> None:
        nonce = await self.devices.nonce(laptop.id, self.now)
        await self.devices.report(laptop.report(nonce, self.now, attributes={**GOOD, **attributes}), self.now)


@pytest.fixture
async def world(store: DeviceStore) -> World:
    made = World(store)
    await made.devices.start()
    return made
