"""Whether a connection may become something other than HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.model.reasons import Reason
from proxy.wire.websocket import opening_mistake

if TYPE_CHECKING:
    from proxy.gateway.http import HttpExchange


def upgrade_refused(exchange: HttpExchange) -> tuple[Reason, str] | None:
    """Look at a request with an Upgrade header: None lets it go on, with `exchange.upgrading` set if it is to switch.

    A protocol the route does not name is ignored, as RFC 9110 §7.8 allows: the request goes on without it. So is one
    that Connection does not list. `h2c` is never passed on: it would open a way past every later decision.
    """
    head, plan = exchange.head, exchange.plan
    fields = head.fields
    protocol = fields.upgrade.lower()
    asked = fields.connection is not None and b"upgrade" in fields.connection and not head.old
    if not asked or protocol == b"h2c" or protocol.decode("latin-1") not in plan.route.upgrades:
        return None
    if protocol == b"websocket":
        mistake = opening_mistake(
            head.method, head.field(b"sec-websocket-key"), head.field(b"sec-websocket-version"), fields.length
        )
        if mistake:
            return Reason.BAD_REQUEST, mistake
    elif fields.length:
        return Reason.BAD_REQUEST, "an upgrade with a body"
    if not _origin_allowed(exchange):
        return Reason.ORIGIN_REFUSED, ""
    exchange.upgrading = True
    exchange.keep = False
    return None


def _origin_allowed(exchange: HttpExchange) -> bool:
    """Browsers let any site open a WebSocket with the user's cookies: only the app's own origin may (RFC 6455 §10.2).

    Programs that are no browser send no Origin.
    """
    origin = exchange.head.field(b"origin")
    if origin is None:
        return True
    text = origin.decode("latin-1")
    if text.lower() == exchange.plan.audience_at(exchange.host):
        return True
    allowed = exchange.plan.route.websocket_origins
    return "*" in allowed or text.lower() in allowed
