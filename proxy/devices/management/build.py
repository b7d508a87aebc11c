"""Settings → management systems, built completely before anything is put into force."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, NamedTuple, Protocol

import aiohttp

from proxy.devices.management.api import Api, Credentials, Sleep
from proxy.devices.management.crowdstrike import FALCON, TOKEN_PATH, CrowdStrike
from proxy.devices.management.fleet import Fleet
from proxy.devices.management.intune import GRAPH, LOGINS, Intune
from proxy.devices.management.words import Told
from proxy.settings import schema
from proxy.settings.secrets import SecretUnavailable, read_secret

_SHORTEST_SECRET: Final = 16  # bytes


class ManagementUnusable(Exception):
    """The settings of a system cannot work; the text says which and why."""


class System(Protocol):
    """A system that is asked."""

    def devices(self) -> AsyncIterator[Told]:
        """Everything it knows, device by device. Raises ManagementUnavailable."""


class Asked(NamedTuple):
    """A system with what says how often it is asked."""

    settings: schema.Intune | schema.CrowdStrike | schema.Fleet
    system: System


class Systems(NamedTuple):
    """All of a configuration, by name; made before it is put into force."""

    asked: Mapping[str, Asked]
    secrets: Mapping[str, tuple[bytes, ...]]  # of webhooks: the current one, perhaps the previous

    def __repr__(self) -> str:
        return f"Systems(asked={sorted(self.asked)}, webhooks={sorted(self.secrets)})"


def build_systems(
    settings: schema.Devices, http: aiohttp.ClientSession, clock: Callable[[], float], sleep: Sleep = asyncio.sleep
) -> Systems:
    """Read secrets and authorities, build everything. Raises ManagementUnusable."""
    asked, secrets = {}, {}
    for one in settings.management:
        try:
            if isinstance(one, schema.Webhook):
                secrets[one.name] = tuple(_secret(ref) for ref in (one.secret, one.previous_secret) if ref is not None)
            else:
                asked[one.name] = Asked(one, _system(one, http, clock, sleep))
        except ssl.SSLError as error:  # an OSError, too
            raise ManagementUnusable(f"devices.management, {one.name}: {one.ca}: {error.reason or error}") from None
        except OSError as error:
            raise ManagementUnusable(f"devices.management, {one.name}: {one.ca}: {error.strerror}") from None
        except (SecretUnavailable, ValueError) as error:
            raise ManagementUnusable(f"devices.management, {one.name}: {error}") from None
    return Systems(asked, secrets)


def _system(
    one: schema.Intune | schema.CrowdStrike | schema.Fleet,
    http: aiohttp.ClientSession,
    clock: Callable[[], float],
    sleep: Sleep,
) -> System:
    def api(base: str, access: str | Credentials) -> Api:
        return Api(http, base, access, ca=one.ca, clock=clock, sleep=sleep)

    if isinstance(one, schema.Fleet):
        return Fleet(api(one.url or "", _text(one.token)), one.policies)
    if isinstance(one, schema.CrowdStrike):
        base = (one.url or FALCON).rstrip("/")
        return CrowdStrike(api(base, Credentials(base + TOKEN_PATH, one.client_id, _text(one.client_secret))))
    graph = (one.url or GRAPH).rstrip("/")
    address = f"{LOGINS.get(graph, graph)}/{one.tenant}/oauth2/v2.0/token"
    access = Credentials(address, one.client_id, _text(one.client_secret), f"{graph}/.default")
    return Intune(api(graph, access))


def _secret(ref: schema.SecretRef) -> bytes:
    secret = read_secret(ref)
    if len(secret) < _SHORTEST_SECRET:
        raise ValueError(f"the secret is shorter than {_SHORTEST_SECRET} bytes: openssl rand -hex 32 makes one")
    return secret


def _text(ref: schema.SecretRef) -> str:
    try:
        return read_secret(ref).decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("the secret has characters that no secret of this system has") from None
