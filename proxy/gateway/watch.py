"""Exchanges admitted on a client certificate end when it is no longer good: expired, revoked, or its CA replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.gateway.admission import certificate_of
from proxy.model.reasons import Reason

if TYPE_CHECKING:
    from proxy.gateway.door import House


def cut_uncertified(house: House, now: float, *, judged_anew: bool = False) -> None:
    """Cut what goes on beyond the certificate it was admitted on. `judged_anew` looks at all of them, after a reload;
    otherwise only those whose verdict has run out are judged again."""
    for exchange in list(house.certified):
        certificate = exchange.certificate
        if certificate is None or (not judged_anew and now < certificate.good_until):
            continue
        verifier = house.snapshot.verifiers.get(exchange.listener)
        fresh = certificate_of(exchange.notes, verifier, now)
        if fresh is None:
            exchange.cut(exchange.notes.problem or Reason.CERTIFICATE_UNTRUSTED)
        else:
            exchange.certificate = fresh
