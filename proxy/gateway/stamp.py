"""The head an app gets: what the client sent minus what it may not say, plus what we vouch for, written last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.assertion import Signer, identity_headers
from proxy.gateway.plan import RoutePlan, edited
from proxy.model.identity import Identity
from proxy.web import endpoints
from proxy.wire.head import CHUNKED, RequestHead
from proxy.wire.path import Target

if TYPE_CHECKING:
    from proxy.gateway.http import HttpExchange

_ASSERTION_SECONDS = 60
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"))


def identity_block(signer: Signer, identity: Identity, audience: str, now: float, scratch: dict[Any, Any]) -> bytes:
    """The identity headers for one app, signed once per identity, audience and minute; ends in CRLF."""
    minute = int(now) // _ASSERTION_SECONDS
    known = scratch.get(audience)
    if known is not None and known[0] == minute and known[1] is signer:
        block: bytes = known[2]
        return block
    lines = [b"X-Ostiary-Assertion: " + signer.sign(identity, audience, now)]
    lines += [name + b": " + value for name, value in identity_headers(identity)]
    block = b"\r\n".join(lines) + b"\r\n"
    scratch[audience] = (minute, signer, block)
    return block


def request_head(exchange: HttpExchange, authority: bytes) -> bytes:
    """The whole head for the app, empty line included. `authority` is the chosen upstream's own name."""
    head: RequestHead = exchange.head
    plan: RoutePlan = exchange.plan
    target: Target = exchange.target
    lines = head.lines
    if plan.remove_from_request or plan.set_on_request:
        lines = edited(lines, plan.set_on_request, plan.remove_from_request)
    path = plan.forwarded_path(target.raw_path) if plan.raw_prefix else target.raw_path
    query = target.query
    first = b"%b %b HTTP/1.1\r\n" % (head.method.encode(), path + b"?" + query if query else path)
    return b"".join(
        (
            first,
            b"\r\n".join(lines),
            b"\r\n" if lines else b"",
            plan.host_lines(head.host or b"", authority),
            exchange.notes.forwarded_line,
            b"X-Request-Id: ",
            exchange.reference.encode(),
            b"\r\n",
            _identity(exchange),
            _body_lines(head, exchange.upgrading),
            b"\r\n",
        )
    )


def _identity(exchange: HttpExchange) -> bytes:
    if exchange.plan.control:
        return _for_our_pages(exchange)
    identity = exchange.identity
    if identity is None:
        return b""
    scratch = exchange.session.scratch if exchange.session is not None else exchange.notes.identity_blocks
    audience = exchange.plan.audience_at(exchange.host)
    return identity_block(exchange.house.signer, identity, audience, exchange.now, scratch)


def _for_our_pages(exchange: HttpExchange) -> bytes:
    """What our own pages are told about who asks."""
    lines = [
        (endpoints.CLIENT_HEADER, exchange.notes.address),
        (endpoints.REFERENCE_HEADER, exchange.reference),
    ]
    if exchange.session is not None:
        lines.append((endpoints.SESSION_HEADER, exchange.session.sid))
    block = "".join(f"{name}: {value}\r\n" for name, value in lines).encode("ascii")
    if exchange.head.cookies:
        block += b"Cookie: " + b"; ".join(exchange.head.cookies) + b"\r\n"
    return block


def _body_lines(head: RequestHead, upgrading: bool) -> bytes:
    if upgrading:
        return b"Connection: Upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    if head.length == CHUNKED:
        return b"Transfer-Encoding: chunked\r\n"
    if head.length or head.method not in _NO_BODY:
        return b"Content-Length: %d\r\n" % head.length
    return b""
