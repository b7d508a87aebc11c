"""What we give to a device sealed and take back once: nonces, challenges, the state of an attestation."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.devices.errors import DeviceRefused
from proxy.sessions.seal import SealBroken, Sealer

NONCE_LIFETIME: Final = 300.0  # seconds


class SingleUse:
    """`consume(key, expires)` is True once per key, in all workers; it raises StoreUnavailable."""

    def __init__(self, sealer: Sealer, consume: Callable[[str, float], Awaitable[bool]]) -> None:
        self._sealer = sealer
        self._consume = consume

    def give(self, purpose: str, data: bytes, now: float) -> str:
        """`data`, sealed for this purpose."""
        return self._sealer.seal(purpose, data, now=now)

    async def take(self, purpose: str, token: str, now: float, lifetime: float, what: str) -> bytes:
        """The data, once, within `lifetime` seconds. Raises DeviceRefused, which names it by `what`."""
        try:
            data = self._sealer.unseal(purpose, token, now=now, max_age=lifetime)
        except SealBroken:
            raise DeviceRefused(
                f"{what} is not one of ours, is for something else, or is older than {lifetime / 60:.0f} minutes"
            ) from None
        used = hashlib.sha256(token.encode()).hexdigest()
        if not await self._consume(f"{purpose.partition(':')[0]}:{used}", now + lifetime):
            raise DeviceRefused(f"{what} was used before")
        return data

    def nonce(self, device: str, now: float) -> str:
        """A nonce for one statement of this device."""
        return self.give(f"device-nonce:{device}", secrets.token_bytes(16), now)

    async def use_nonce(self, device: str, nonce: str, now: float) -> None:
        """Take a nonce back. Raises DeviceRefused."""
        await self.take(f"device-nonce:{device}", nonce, now, NONCE_LIFETIME, "its nonce")
