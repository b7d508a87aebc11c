"""Everything a decision may depend on, in one serialisable record."""

from __future__ import annotations

import msgspec

from proxy.model.device import Device
from proxy.model.identity import Certificate, Identity


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The complete input of `policy.decide`. What is not known is None (or absent), never a guess."""

    route: str  # route name
    host: str  # canonical: lower case, no trailing dot, no port
    method: str  # as sent; upper-case token
    path: str  # canonical path, decoded form on which routing and policy agree; always starts with "/"
    time: float  # seconds since the epoch
    address: str | None = None  # client IP address, textual
    identity: Identity | None = None
    certificate: Certificate | None = None
    certificate_problem: str | None = (
        None  # a `Reason` value beginning "certificate-", when one was presented and refused
    )
    device: Device | None = None  # the one the request comes from, as far as it is known
