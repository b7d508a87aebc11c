"""How sure we are that a device's key is in a TPM 2.0 and cannot leave it.

As sure as the maker's authority makes us that an endorsement key is a TPM's: a secret is encrypted so that only the TPM
with that endorsement key reads it, and only when it holds the very key that the device signs with
(TPM2_ActivateCredential: part 1, §24). The TPM computes the key's name from all its attributes, among them that the TPM
made it and that it is bound to this TPM; and it needs the private part to use the key at all. So no other attestation
key and no TPM2_Certify is needed.

What this does not say: which machine the TPM is in, and what the operating system there does with the key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import msgspec

from proxy.devices import jws
from proxy.devices.endorsement import Authorities, Endorsement
from proxy.devices.errors import DeviceRefused
from proxy.devices.record import AGENT, DeviceRecord, Statement, Voucher, inventory_statement
from proxy.devices.single_use import SingleUse
from proxy.devices.store import DeviceStore
from proxy.devices.tpm import make_credential, signing_key
from proxy.model.device import Assurance
from proxy.model.report import (
    ACTIVATE_TYPE,
    ATTEST_TYPE,
    Activation,
    Attestation,
    Attested,
    Credential,
    Key,
)

LIFETIME: Final = 300.0  # seconds a TPM has to answer
_SECRET: Final = 32  # bytes


class _State(msgspec.Struct, frozen=True, array_like=True):
    """What we want back, sealed."""

    secret: bytes
    thumbprint: str
    certificate: str
    issuer: str
    authority: str


def is_attested(record: DeviceRecord, authorities: Authorities) -> bool:
    """Whether a TPM, by an authority that is trusted now, vouches for the device's key."""
    voucher = record.voucher
    return voucher is not None and record.key is not None and voucher.authority in authorities


def statements(record: DeviceRecord, *, attested: bool) -> Iterator[Statement]:
    """All that was said of a device, by us too. Where its key is `attested`, what its agent said is, and its id."""
    ours = inventory_statement(record)
    if not attested:
        yield from (ours, *record.statements)
        return
    rest = {name: value for name, value in ours.values.items() if name != "id"}
    yield msgspec.structs.replace(ours, values=rest)
    yield msgspec.structs.replace(ours, values={"id": record.id}, assurance=Assurance.ATTESTED)
    for one in record.statements:
        yield msgspec.structs.replace(one, assurance=Assurance.ATTESTED) if one.source == AGENT else one


class Attesting:
    """Both steps. `expect(device)` gives the key of a device that counts; `announce` tells all workers of a change.

    Methods raise DeviceRefused and StoreUnavailable.
    """

    def __init__(
        self,
        store: DeviceStore,
        single_use: SingleUse,
        expect: Callable[[str], Awaitable[Key]],
        announce: Callable[[str], Awaitable[None]],
    ) -> None:
        self._store = store
        self._single_use = single_use
        self._expect = expect
        self._announce = announce

    async def begin(self, token: str, authorities: Authorities, *, audience: str, now: float) -> Credential:
        """The first step: a secret for the TPM that the device says it has."""
        if not authorities:
            raise DeviceRefused("no TPM is asked to vouch for keys here (devices.tpm_authorities is not set)")
        signed = jws.take_apart(token, ATTEST_TYPE, named=True)
        key = await self._expect(signed.kid)
        jws.verify(signed, key)
        wish = jws.claims_of(signed, Attestation)
        _check_device(wish.device, signed.kid)
        jws.check(wish.aud, wish.iat, audience=audience, now=now)
        await self._single_use.use_nonce(wish.device, wish.nonce, now)
        endorsement = authorities.endorsement(_bytes(wish.certificate), [_bytes(each) for each in wish.between], now)
        held = signing_key(_bytes(wish.public))
        numbers = jws.public_key(key).public_numbers()
        if (held.x, held.y) != (numbers.x, numbers.y):
            raise DeviceRefused("the key in its TPM is not the one it is enrolled with")
        secret = secrets.token_bytes(_SECRET)
        made = make_credential(endorsement.key, held.name, secret)
        state = self._single_use.give(_purpose(wish.device), _sealed(secret, key, endorsement), now)
        return Credential(credential=_text(made.blob), secret=_text(made.secret), state=state)

    async def finish(self, token: str, authorities: Authorities, *, audience: str, now: float) -> Attested:
        """The second step: the TPM has read the secret, so its key is what it says."""
        signed = jws.take_apart(token, ACTIVATE_TYPE, named=True)
        key = await self._expect(signed.kid)
        jws.verify(signed, key)
        answer = jws.claims_of(signed, Activation)
        _check_device(answer.device, signed.kid)
        jws.check(answer.aud, answer.iat, audience=audience, now=now)
        data = await self._single_use.take(_purpose(answer.device), answer.state, now, LIFETIME, "its state")
        state = msgspec.msgpack.decode(data, type=_State)
        if state.thumbprint != jws.thumbprint(key) or state.authority not in authorities:
            raise DeviceRefused("its TPM is not asked any more; begin again")
        if not hmac.compare_digest(_bytes(answer.secret), state.secret):
            raise DeviceRefused("its TPM did not read the secret: it does not hold the key, or is another TPM")
        voucher = Voucher(certificate=state.certificate, issuer=state.issuer, authority=state.authority, at=now)
        await self._write(answer.device, state.thumbprint, voucher)
        return Attested(issuer=voucher.issuer)

    async def _write(self, device: str, thumbprint: str, voucher: Voucher) -> None:
        def change(old: DeviceRecord) -> DeviceRecord:
            if old.revoked or old.thumbprint != thumbprint:
                raise DeviceRefused("the device was removed")
            return msgspec.structs.replace(old, voucher=voucher, storage="tpm")

        if await self._store.change(device, change, durable=True) is None:
            raise DeviceRefused("the device is not known")
        await self._announce(device)


def _sealed(secret: bytes, key: Key, endorsement: Endorsement) -> bytes:
    return msgspec.msgpack.encode(
        _State(secret, jws.thumbprint(key), endorsement.certificate, endorsement.issuer, endorsement.authority)
    )


def _purpose(device: str) -> str:
    return f"device-attestation:{device}"


def _check_device(said: str, kid: str) -> None:
    if said != kid:
        raise DeviceRefused("it is about another device than the one that signed it")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise DeviceRefused("what it sent of its TPM is not base64url") from None
