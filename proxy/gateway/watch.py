"""What is open is held to what is true now: certificates that go bad, rights that are taken away.

An exchange ends within a second when the certificate it was admitted on expires, is revoked or loses its CA, and when a
reload or a renewal of the session changes what it was decided on and the new decision is another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from proxy.gateway.admission import certificate_of
from proxy.gateway.http import HttpExchange
from proxy.model.reasons import Reason
from proxy.sessions.live import LiveSession

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


def cut_unentitled(house: House, sessions: Iterable[LiveSession]) -> None:
    """Decide again what is open under an older configuration or an older identity of its session; cut what may not
    go on."""
    snapshot = house.snapshot
    for session in sessions:
        for exchange in tuple(session.streams):
            if isinstance(exchange, HttpExchange) and (
                exchange.snapshot is not snapshot or exchange.identity is not session.identity
            ):
                exchange.decide_again(session.identity)
    for exchange in tuple(house.certified):
        if exchange.snapshot is not snapshot:
            exchange.decide_again(exchange.identity)
