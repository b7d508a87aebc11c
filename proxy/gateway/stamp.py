"""The head an app gets: what the client sent minus what it may not say, plus what we vouch for, written last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proxy.assertion import Signer, identity_headers
from proxy.gateway.plan import RoutePlan, edited
from proxy.model.device import Device
from proxy.model.identity import Identity
from proxy.web import endpoints
from proxy.wire.lines import CHUNKED
from proxy.wire.request import RequestHead

if TYPE_CHECKING:
    from proxy.gateway.http import HttpExchange
    from proxy.gateway.known import Known

_ASSERTION_SECONDS = 60
_INTERRUPTED = endpoints.INTERRUPTED.encode("ascii")
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"))


def identity_block(
    signer: Signer, identity: Identity, device: Device | None, audience: str, now: float, scratch: dict[Any, Any]
) -> bytes:
    """The identity headers for one app, signed once per identity, device, audience and minute; ends in CRLF."""
    minute = int(now) // _ASSERTION_SECONDS
    key = audience if device is None else (audience, device.id, device.binding)
    known = scratch.get(key)
    if known is not None and known[0] == minute and known[1] is signer and known[2] is identity and known[3] is device:
        block: bytes = known[4]
        return block
    lines = [b"X-Ostiary-Assertion: " + signer.sign(identity, audience, now, device)]
    lines += [name + b": " + value for name, value in identity_headers(identity)]
    block = b"\r\n".join(lines) + b"\r\n"
    scratch[key] = (minute, signer, identity, device, block)
    return block


def request_head(exchange: HttpExchange, authority: bytes) -> bytes:
    """The whole head for the app, empty line included. `authority` is the chosen upstream's own name.

    Everything between the target and the request's own reference is the same for requests that repeat their fields,
    as long as route, client address and assertion are.
    """
    plan: RoutePlan = exchange.plan
    target, known = exchange.target, exchange.known
    assert target is not None, "a request is routed before it is forwarded"
    assert known is not None, "as its target"
    identity = _identity(exchange)
    forwarded = exchange.notes.forwarded_line
    method = exchange.head.method
    stamp = known.stamp
    if (
        stamp is None
        or stamp[0] is not plan
        or stamp[1] is not identity
        or stamp[2] is not forwarded
        or stamp[3] is not authority
        or stamp[4] != method
        or exchange.upgrading
    ):
        middle = _middle(exchange, known, identity, authority)
        if not exchange.upgrading:
            known.stamp = (plan, identity, forwarded, authority, method, middle)
    else:
        middle = stamp[5]
    path = plan.forwarded_path(target.raw_path) if plan.stripped else target.raw_path
    if exchange.put_by:
        path = _INTERRUPTED
    elif target.query:
        path = path + b"?" + target.query
    return b"%b %b%b%b\r\n\r\n" % (method.encode(), path, middle, exchange.reference.encode())


def _middle(exchange: HttpExchange, known: Known, identity: bytes, authority: bytes) -> bytes:
    plan = exchange.plan
    lines = known.lines if not plan.control else _for_pages(exchange.head.fields.lines)
    if plan.remove_from_request or plan.set_on_request:
        lines = edited(lines, plan.set_on_request, plan.remove_from_request)
    return b"".join(
        (
            b" HTTP/1.1\r\n",
            b"\r\n".join(lines),
            b"\r\n" if lines else b"",
            plan.host_lines(known.authority, authority),
            exchange.notes.forwarded_line,
            identity,
            _body_lines(exchange.head, exchange.upgrading),
            b"X-Request-Id: ",
        )
    )


# What our own pages read. The rest is not theirs to see: their server would act on some of it.
_PAGE_FIELDS = frozenset(
    b"accept accept-language content-type origin referer sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user "
    b"user-agent x-requested-with ostiary-signature".split()
)


def _for_pages(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line.partition(b":")[0].lower() in _PAGE_FIELDS]


def _identity(exchange: HttpExchange) -> bytes:
    if exchange.plan.control:
        return _for_our_pages(exchange)
    identity = exchange.identity
    if identity is None:
        return b""
    scratch = exchange.session.scratch if exchange.session is not None else exchange.notes.identity_blocks
    audience = exchange.plan.audience_at(exchange.host)
    return identity_block(exchange.house.signer, identity, exchange.device, audience, exchange.now, scratch)


def _for_our_pages(exchange: HttpExchange) -> bytes:
    """What our own pages are told about who asks."""
    lines = [
        (endpoints.CLIENT_HEADER, exchange.notes.address),
        (endpoints.REFERENCE_HEADER, exchange.reference),
    ]
    if exchange.session is not None:
        lines.append((endpoints.SESSION_HEADER, exchange.session.sid))
    certificate = exchange.certificate
    if certificate is not None:
        lines.append((endpoints.CERTIFICATE_HEADER, certificate.sha256))
        device = exchange.house.devices.of_certificate(certificate)
        if device:
            lines.append((endpoints.DEVICE_HEADER, quote(device, safe="")))
    if exchange.put_by and exchange.target is not None:
        lines.append((endpoints.TARGET_HEADER, exchange.target.forward.decode("ascii")))
        lines.append((endpoints.CHALLENGE_HEADER, exchange.put_by))
    block = "".join(f"{name}: {value}\r\n" for name, value in lines).encode("ascii")
    if exchange.head.fields.cookies:
        block += b"Cookie: " + b"; ".join(exchange.head.fields.cookies) + b"\r\n"
    return block


def _body_lines(head: RequestHead, upgrading: bool) -> bytes:
    if upgrading:
        return b"Connection: Upgrade\r\nUpgrade: " + head.fields.upgrade + b"\r\n"
    if head.fields.length == CHUNKED:
        return b"Transfer-Encoding: chunked\r\n"
    if head.fields.length or head.method not in _NO_BODY:
        return b"Content-Length: %d\r\n" % head.fields.length
    return b""
