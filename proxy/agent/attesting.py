"""Attestation: the TPM proves to the proxy that it holds this device's key, once, and again whenever asked."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable

from proxy.agent.client import Proxy
from proxy.agent.endorsement import endorsement, read_secret
from proxy.agent.errors import AgentError, Unreachable
from proxy.agent.keys import DeviceKey, base64url
from proxy.agent.statement import signed
from proxy.agent.tpm import TpmKey
from proxy.model.report import Activation, Attestation


async def attest(proxy: Proxy, device: str, key: DeviceKey, clock: Callable[[], float]) -> str:
    """Who vouches for the TPM, by its certificate. Raises AgentError."""
    if not isinstance(key, TpmKey):
        raise AgentError(
            "the key is in a file, and nothing can vouch for a file: on a machine with a TPM 2.0 enrol again with "
            "--replace --key tpm"
        )
    shown = await asyncio.to_thread(endorsement, key)
    wish = Attestation(
        device=device,
        aud=proxy.login,
        nonce=await proxy.nonce(device),
        iat=int(clock()),
        certificate=base64url(shown.certificate),
        public=base64url(key.public_area()),
        between=tuple(map(base64url, shown.between)),
    )
    asked = await proxy.attest(await asyncio.to_thread(signed, wish, key))
    credential, encrypted = (_bytes(proxy, each) for each in (asked.credential, asked.secret))
    secret = await asyncio.to_thread(read_secret, key, shown.kind, credential, encrypted)
    answer = Activation(device=device, aud=proxy.login, iat=int(clock()), state=asked.state, secret=base64url(secret))
    return (await proxy.activate(await asyncio.to_thread(signed, answer, key))).issuer


def _bytes(proxy: Proxy, text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Unreachable(f"{proxy.login} answers what a proxy would not: is the address right?") from error
