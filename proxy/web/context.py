"""What the composition root hands to our pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.assertion import Signer
from proxy.authn.factors import Factors
from proxy.authn.oidc import OidcProvider
from proxy.authn.saml import SamlProvider
from proxy.devices.management.service import Management
from proxy.devices.service import Devices
from proxy.model.identity import Identity
from proxy.sessions.seal import Sealer
from proxy.sessions.service import Sessions
from proxy.settings.schema import Route, Settings
from proxy.web.rate_limit import Limits


def _no_saml() -> Mapping[str, SamlProvider]:
    """Stands in where no SAML provider is configured."""
    return {}


def _no_record(event: str, **fields: object) -> None:
    """Stands in where logins and logouts are recorded by somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebContext:
    """Callables give the current snapshot, so a reload needs no new application.

    `visible(identity, address)` lists the routes this person may open from `address`, the client's or None.
    `record(event, **fields)` is told of "login", "login-failed", "logout", "backchannel-logout", "step-up",
    "factor-added", "factor-removed", "factor-used", "factor-failed", "device-enrolled", "device-attested",
    "device-refused", "device-proved", "device-revoked"; no field is a secret.
    Sessions that a provider ends are told one by one, the first fifty of them.
    `factors` are our own second factors, `devices` the inventory, `management` what tells of it; None
    where there are none.
    `clock` gives seconds since the epoch.
    """

    settings: Callable[[], Settings]
    sessions: Sessions
    providers: Callable[[], Mapping[str, OidcProvider]]
    sealer: Sealer
    signer: Callable[[], Signer]
    clock: Callable[[], float]
    visible: Callable[[Identity, str | None], Sequence[Route]]
    log: logging.Logger
    factors: Factors | None = None
    saml: Callable[[], Mapping[str, SamlProvider]] = _no_saml
    devices: Devices | None = None
    management: Management | None = None
    limits: Limits = field(default_factory=Limits)
    record: Callable[..., None] = _no_record
