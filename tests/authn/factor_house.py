"""Second factors on a stage of their own: a store in memory, a clock to turn, and people who use them."""

from __future__ import annotations

import json

import pyotp
from soft_passkey import SoftPasskey

from proxy.authn.factors import Begun, Factors, Used
from proxy.authn.factors.memory import MemoryFactorStore
from proxy.sessions.memory import MemoryStore
from proxy.sessions.seal import Sealer
from proxy.settings import schema

NOON = 1_800_000_000.0
ANN, BOB, SID = "corp:ann", "corp:bob", "s1"
ORIGIN = "https://login.apps.test:8443"


class House:
    """Second factors, and a clock to turn."""

    def __init__(self, **settings: object) -> None:
        self.now = NOON
        self.store = MemoryFactorStore()
        self.consumed = MemoryStore()
        self.sealer = Sealer(b"k" * 32)
        login = schema.Login(url=ORIGIN + "/", second_factor=schema.SecondFactor(**settings))
        self.factors = Factors(self.store, self.sealer, login, lambda: self.now, self.consumed.consume)

    async def app(self, person: str = ANN) -> str:
        """Enrol an authenticator app; its secret."""
        new = self.factors.new_code(person, SID, "ann@example.com")
        await self.factors.add_code(person, SID, new.sealed, code(new.secret, self.now), "Phone")
        self.now += 60
        return new.secret

    async def passkey(self, key: SoftPasskey, person: str = ANN) -> None:
        begun = await self.factors.new_passkey(person, SID, "ann@example.com")
        await self.factors.add_passkey(person, SID, begun.sealed, made(key, begun), "Key")

    async def confirm(self, key: SoftPasskey, person: str = ANN, **lies: object) -> Used:
        begun = await self.factors.ask_passkey(person, SID)
        assert begun is not None
        answer = key.get(json.loads(begun.options), ORIGIN, **lies).encode()
        return await self.factors.check_passkey(person, SID, begun.sealed, answer)


def made(key: SoftPasskey, begun: Begun) -> bytes:
    return key.create(json.loads(begun.options), ORIGIN).encode()


def code(secret: str, now: float) -> str:
    return pyotp.TOTP(secret).at(int(now))
