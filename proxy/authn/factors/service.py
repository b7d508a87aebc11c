"""Second factors as our pages use them: begin and finish an enrolment, ask for one and check it, remove, reset.

What goes to the browser and must come back unchanged is sealed to the session it is for, good for a few minutes and
used up by the first answer, right or wrong.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Self

import msgspec

from proxy.authn.factors import codes, recovery
from proxy.authn.factors.errors import FactorRefused
from proxy.authn.factors.factor import MOST_PER_PERSON, Factor, Kind
from proxy.authn.factors.limits import Limits
from proxy.authn.factors.passkeys import RelyingParty
from proxy.authn.factors.store import FactorStore
from proxy.routing import parse_source
from proxy.sessions.seal import SealBroken, Sealer
from proxy.settings.schema import Login, SecondFactor

LIFETIME: Final = 600.0  # seconds between a page of ours and its answer
MOST_NAME: Final = 60  # characters
_PASSKEY_NEW: Final = "factor-new-passkey:"
_PASSKEY_ASK: Final = "factor-ask-passkey:"
_CODE_NEW: Final = "factor-new-code:"
_APP: Final = "factor-app:"
_OVER: Final = "This page is too old, or was answered already. Try again."
_WRONG_CODE: Final = "That code was not right, or was used already. Type the one your app shows now."
_ISSUER: Final = "Ostiary"
_log = logging.getLogger(__name__)


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed in: an id that is used up, whose it is, and the challenge or the new secret."""

    id: str
    person: str
    value: str


class Begun(NamedTuple):
    """`options`: JSON for the browser's WebAuthn call. `sealed` must come back with what it answers."""

    options: str
    sealed: str


class NewCode(NamedTuple):
    """A secret for an authenticator app: to scan (`qr`: width in modules, SVG path), to type, and sealed."""

    secret: str
    qr: tuple[int, str]
    sealed: str


class Used(NamedTuple):
    """What was shown, as RFC 8176 words for `amr`, and what to call it in the record.

    A passkey is `hwk`, or `swk` when it may be copied to other devices, with `user`; an app's code is `otp`. A recovery
    code is `kba`, something its person keeps and tells: RFC 8176 has no word for it, and it must not pass for `otp` or
    a key where a rule asks for one of these.
    """

    methods: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, factor: Factor) -> Self:
        """A use of this factor."""
        if factor.kind == "code":
            return cls(("otp",), f"authenticator app {factor.name}")
        return cls(("swk" if factor.synced else "hwk", "user"), f"passkey {factor.name}")


class Factors:
    """Everybody's second factors. `clock` gives seconds since the epoch; `consume(key, expires)` is True for exactly
    one caller per key, ever, in all processes. Whatever awaits the store raises StoreUnavailable."""

    def __init__(
        self,
        store: FactorStore,
        sealer: Sealer,
        settings: Login,
        clock: Callable[[], float],
        consume: Callable[[str, float], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._consume = consume
        self._limits = Limits(store, lambda: self.offered, clock)
        self.reconfigure(settings)

    def reconfigure(self, settings: Login) -> None:
        """New settings, at once."""
        login = parse_source(settings.url.rstrip("/"))
        self.offered: SecondFactor = settings.second_factor
        self._account = login.host
        self._relying_party = RelyingParty(login.origin, login.host)

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    # --- what somebody has

    async def of(self, person: str) -> Sequence[Factor]:
        """The factors of a person (`person_of`) that the settings allow to be used, oldest first."""
        return [each for each in await self._store.of(person) if self._is_offered(each.kind)]

    async def all_of(self, person: str) -> Sequence[Factor]:
        """The same, with those whose kind has been switched off."""
        return await self._store.of(person)

    async def recovery_left(self, person: str) -> int:
        """How many recovery codes are unused."""
        return await self._store.recovery_left(person)

    def _is_offered(self, kind: Kind) -> bool:
        return self.offered.passkeys if kind == "passkey" else self.offered.codes

    # --- passkeys

    async def new_passkey(self, person: str, sid: str, label: str) -> Begun:
        """Begin to enrol a passkey. `label` is shown by the browser."""
        challenge = secrets.token_bytes(32)
        known = [each.secret for each in await self._store.of(person) if each.kind == "passkey"]
        options = self._relying_party.enrolment(challenge, person, label, known)
        return self._begun(_PASSKEY_NEW + sid, person, challenge, options)

    async def add_passkey(self, person: str, sid: str, sealed: str, response: bytes, name: str) -> Factor:
        """Enrol it. Raises FactorRefused."""
        if not self.offered.passkeys:
            raise FactorRefused("Passkeys are switched off here.")
        challenge = bytes.fromhex(await self._opened(_PASSKEY_NEW + sid, person, sealed))
        made = self._relying_party.enrolled(challenge, response)
        return await self._add(
            Factor(
                id=secrets.token_hex(8),
                person=person,
                kind="passkey",
                name=_named(name, "Passkey"),
                created=self._clock(),
                secret=made.credential,
                key=made.credential_id,
                counter=made.counter,
                synced=made.synced,
            )
        )

    async def ask_passkey(self, person: str, sid: str) -> Begun | None:
        """Ask for one of a person's passkeys; None when there is none."""
        known = [each.secret for each in await self.of(person) if each.kind == "passkey"]
        if not known:
            return None
        challenge = secrets.token_bytes(32)
        return self._begun(_PASSKEY_ASK + sid, person, challenge, self._relying_party.request(challenge, known))

    async def check_passkey(self, person: str, sid: str, sealed: str, response: bytes) -> Used:
        """Judge what the browser answered. Raises FactorRefused and TooManyAttempts."""
        await self._limits.take(person, "passkey")
        challenge = bytes.fromhex(await self._opened(_PASSKEY_ASK + sid, person, sealed))
        known = {each.key: each for each in await self.of(person) if each.kind == "passkey"}
        signed = self._relying_party.signed(challenge, person, [each.secret for each in known.values()], response)
        factor = known[signed.credential_id]
        if not await self._store.used(person, factor.id, signed.counter, self._clock()):
            # WebAuthn §7.2, step 22: a counter that does not grow is the sign of a copied authenticator.
            _log.warning("passkey %s of %s: its signature counter did not grow; refused", factor.id, person)
            raise FactorRefused("This passkey may have been copied, and is not accepted. Use another way.")
        await self._limits.forgive(person, "passkey")
        return Used.of(factor)

    # --- codes

    def new_code(self, person: str, sid: str, label: str) -> NewCode:
        """Begin to enrol an authenticator app. `label` is shown by the app. Nothing is kept before `add_code`."""
        secret = codes.new_secret()
        sealed = self._seal(_CODE_NEW + sid, person, secret)
        return NewCode(secret, codes.qr(codes.address(secret, f"{_ISSUER} {self._account}", label)), sealed)

    def same_code(self, person: str, sid: str, sealed: str, label: str) -> NewCode:
        """The same secret again, for somebody who mistyped its first code. Raises FactorRefused when it is too old."""
        secret = self._unsealed(_CODE_NEW + sid, person, sealed).value
        return NewCode(secret, codes.qr(codes.address(secret, f"{_ISSUER} {self._account}", label)), sealed)

    async def add_code(self, person: str, sid: str, sealed: str, code: str, name: str) -> Factor:
        """Enrol the app, proven by a code it shows. Raises FactorRefused; a wrong code does not use up `sealed`."""
        if not self.offered.codes:
            raise FactorRefused("Authenticator apps are switched off here.")
        now = self._clock()
        inside = self._unsealed(_CODE_NEW + sid, person, sealed)
        step = codes.matching_step(inside.value, code, now)
        if step is None:
            raise FactorRefused(
                "That code was not right. Check the time on your phone, and type the code it shows now."
            )
        await self._use_up(inside.id)
        return await self._add(
            Factor(
                id=secrets.token_hex(8),
                person=person,
                kind="code",
                name=_named(name, "Authenticator app"),
                created=now,
                secret=self._sealer.seal(_APP + person, inside.value.encode(), now=now).encode(),
                counter=step,
            )
        )

    async def check_code(self, person: str, code: str) -> Used:
        """Judge a code of an authenticator app. Raises FactorRefused and TooManyAttempts."""
        await self._limits.take(person, "code")
        now = self._clock()
        for factor in await self.of(person):
            if factor.kind != "code":
                continue
            step = codes.matching_step(self._secret(factor), code, now)
            if step is not None and await self._store.used(person, factor.id, step, now):
                await self._limits.forgive(person, "code")
                return Used.of(factor)
        raise FactorRefused(_WRONG_CODE)

    def _secret(self, factor: Factor) -> str:
        try:
            opened = self._sealer.unseal(
                _APP + factor.person, factor.secret.decode("ascii"), now=self._clock(), max_age=None
            )
        except SealBroken as error:
            _log.warning("authenticator app %s of %s: sealed with another key", factor.id, factor.person)
            raise FactorRefused(
                "This authenticator app can no longer be checked: the key of this service was replaced. Use another "
                "way, or ask whoever runs this service to reset your second factor."
            ) from error
        return opened.decode()

    # --- recovery codes

    async def new_recovery(self, person: str) -> list[str]:
        """Ten fresh ones; the older ones stop working."""
        fresh = recovery.new_codes()
        await self._store.set_recovery(person, [recovery.hashed(code) for code in fresh])
        return fresh

    async def check_recovery(self, person: str, code: str) -> Used:
        """Use one up. Raises FactorRefused and TooManyAttempts."""
        await self._limits.take(person, "code")
        if not await self._store.use_recovery(person, recovery.hashed(code)):
            raise FactorRefused("That recovery code was not right, or was used already. Each is good once.")
        await self._limits.forgive(person, "code")
        return Used(("kba",), "recovery code")

    # --- the end of one

    async def remove(self, person: str, factor: str) -> Factor | None:
        """Forget one; with the last one the recovery codes too. None: this person has none of this id."""
        return await self._store.remove(person, factor)

    # --- sealed values

    async def _add(self, factor: Factor) -> Factor:
        said = await self._store.add(factor)
        if said == "known":
            raise FactorRefused("This passkey is enrolled already.")
        if said == "too-many":
            raise FactorRefused(f"You have {MOST_PER_PERSON} already. Remove one first.")
        return factor

    def _begun(self, purpose: str, person: str, challenge: bytes, options: dict[str, object]) -> Begun:
        return Begun(msgspec.json.encode(options).decode(), self._seal(purpose, person, challenge.hex()))

    def _seal(self, purpose: str, person: str, value: str) -> str:
        inside = _Sealed(secrets.token_urlsafe(16), person, value)
        return self._sealer.seal(purpose, msgspec.json.encode(inside), now=self._clock())

    def _unsealed(self, purpose: str, person: str, sealed: str) -> _Sealed:
        try:
            opened = self._sealer.unseal(purpose, sealed, now=self._clock(), max_age=LIFETIME)
            inside = msgspec.json.decode(opened, type=_Sealed)
        except (SealBroken, msgspec.MsgspecError) as error:
            raise FactorRefused(_OVER) from error
        if inside.person != person:
            raise FactorRefused(_OVER)
        return inside

    async def _opened(self, purpose: str, person: str, sealed: str) -> str:
        inside = self._unsealed(purpose, person, sealed)
        await self._use_up(inside.id)
        return inside.value

    async def _use_up(self, name: str) -> None:
        if not await self._consume(f"factor:{name}", self._clock() + LIFETIME):
            raise FactorRefused(_OVER)


def _named(name: str, default: str) -> str:
    """What a person calls it, as one printable line."""
    return "".join(letter for letter in name if letter.isprintable()).strip()[:MOST_NAME] or default
