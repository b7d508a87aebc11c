"""The single-use ticket that carries a login from the login host to an app host.

Bound to the host it is for and to the browser that asked (`bind`), good for a minute, redeemed once in all workers.
"""

from __future__ import annotations

import hmac
import secrets

import msgspec

from proxy.sessions.seal import SealBroken, Sealer
from proxy.sessions.store import SessionStore

LIFETIME = 60.0
_PURPOSE = "ticket"


class TicketRefused(Exception):
    """The ticket is not good here (any more): the login must be started again. The text is for the log only."""


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed in."""

    id: str
    sid: str
    host: str
    bind: str
    return_path: str


def issue(sealer: Sealer, *, sid: str, host: str, bind: str, return_path: str, now: float) -> str:
    """A new ticket. Raises ValueError when `return_path` does not begin with a single slash."""
    if not return_path.startswith("/") or return_path[1:2] in ("/", "\\"):
        raise ValueError(f"a return path begins with one slash, not {return_path!r}")
    ticket = Ticket(secrets.token_urlsafe(16), sid, host, bind, return_path)
    return sealer.seal(_PURPOSE, msgspec.json.encode(ticket), now=now)


async def redeem(
    sealer: Sealer, store: SessionStore, token: str, *, host: str, bind: str, now: float
) -> tuple[str, str]:
    """(sid, return_path) of a ticket for this host and browser, the first time it is shown.

    A ticket shown to the wrong host or by the wrong browser is not used up by that. Raises TicketRefused and
    StoreUnavailable.
    """
    try:
        ticket = msgspec.json.decode(sealer.unseal(_PURPOSE, token, now=now, max_age=LIFETIME), type=Ticket)
    except (SealBroken, msgspec.MsgspecError) as error:
        raise TicketRefused(str(error)) from None
    if ticket.host != host:
        raise TicketRefused("made for another host")
    if not bind or not hmac.compare_digest(ticket.bind.encode(), bind.encode()):
        raise TicketRefused("made for another browser")
    if not await store.consume(f"ticket:{ticket.id}", now + LIFETIME):
        raise TicketRefused("used before")
    return ticket.sid, ticket.return_path
