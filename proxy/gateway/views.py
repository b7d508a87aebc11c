"""What the gateway asks of the rooms below about devices and about tokens, and who answers where there is neither."""

from __future__ import annotations

from typing import Protocol

from proxy.model.device import Bound, Device
from proxy.model.identity import Certificate, Identity
from proxy.model.reasons import Reason


class DeviceView(Protocol):
    """What is known of devices. Asked on the way of every request that has to do with one: no call may wait."""

    def of_certificate(self, certificate: Certificate) -> str:
        """The id of the device that a verified client certificate names; "" when it names none."""

    def facts(self, bound: Bound | None, certificate: Certificate | None) -> Device | None:
        """What is known of the device a request comes from: the same object until something about it changes."""

    def standing(self, bound: Bound, certificate: Certificate | None, address: str, now: float) -> Reason | None:
        """None while a session tied to `bound` may be used from here, else the reason to challenge for."""


class WorkloadView(Protocol):
    """Who vouches for the tokens of services."""

    def recognises(self, token: bytes) -> bool:
        """Whether a token is of an issuer we are told to trust. Any other is the app's own business."""

    def cached(self, token: bytes, audience: str, now: float) -> Identity | Reason | None:
        """The service it names or why it does not count; None when that takes waiting for: `verify`."""

    async def verify(self, token: bytes, audience: str, now: float) -> Identity | Reason:
        """The same, after the issuer's keys and the store of used tokens were asked. Raises StoreUnavailable."""

    def ends(self, token: bytes) -> float:
        """When what was begun with a token must end, seconds since the epoch; 0: it is of nobody whom we trust."""

    async def review(self, token: bytes, audience: str, now: float) -> tuple[Identity | Reason, float]:
        """The verdict on a token with which something was begun: its end and its uses aside, of which this is none.
        And when to ask again, seconds since the epoch. PROVIDER_UNAVAILABLE: it cannot be told now."""


class NoDevices:
    """There is no inventory. A session that is tied to a device all the same cannot be held to it: nobody uses it."""

    def of_certificate(self, certificate: Certificate) -> str:
        """None is known."""
        del certificate
        return ""

    def facts(self, bound: Bound | None, certificate: Certificate | None) -> Device | None:
        """Nothing is known."""
        del bound, certificate
        return None

    def standing(self, bound: Bound, certificate: Certificate | None, address: str, now: float) -> Reason | None:
        """Only what nobody proved (a provider said it) needs no proving again."""
        del certificate, address, now
        return None if bound.binding == "provider" else Reason.DEVICE_PROOF_REQUIRED


class NoWorkloads:
    """No issuer of tokens is configured: every token is the app's own."""

    def recognises(self, token: bytes) -> bool:
        """Never."""
        del token
        return False

    def cached(self, token: bytes, audience: str, now: float) -> Identity | Reason | None:
        """Nobody vouches for it."""
        del token, audience, now
        return Reason.TOKEN_INVALID

    async def verify(self, token: bytes, audience: str, now: float) -> Identity | Reason:
        """Nobody vouches for it."""
        del token, audience, now
        return Reason.TOKEN_INVALID

    def ends(self, token: bytes) -> float:
        """Now: nobody vouches for it."""
        del token
        return 0.0

    async def review(self, token: bytes, audience: str, now: float) -> tuple[Identity | Reason, float]:
        """Nobody vouches for it."""
        del token, audience
        return Reason.TOKEN_INVALID, now
