"""The control application: which path is answered by whom, and what becomes of errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler as Next
from aiohttp.typedefs import Middleware

from proxy.model.reasons import Reason
from proxy.model.report import (
    ACTIVATE_PATH,
    ATTEST_PATH,
    ENROL_PATH,
    NONCE_PATH,
    PROOF_PATH,
    PROVE_PATH,
    REPORT_PATH,
)
from proxy.sessions.store import StoreUnavailable
from proxy.web import (
    backchannel,
    callback,
    device_proof,
    device_reports,
    device_webhook,
    devices,
    handover,
    interrupted,
    login,
    logout,
    portal,
    provider_logout,
    saml,
    saml_logout,
    second_factor,
    second_factor_setup,
)
from proxy.web.context import WebContext
from proxy.web.endpoints import (
    BACKCHANNEL,
    CALLBACK,
    DEVICE_CODE,
    DEVICE_REMOVE,
    DEVICE_WEBHOOK,
    FACTORS,
    ICON,
    INTERRUPTED,
    JWKS,
    LOGGED_OUT,
    LOGIN,
    LOGOUT,
    PORTAL,
    PREFIX,
    PROVIDER_LOGOUT,
    RESUME,
    SAML_ACS,
    SAML_FINISH,
    SAML_METADATA,
    SAML_SLO,
    SECOND_FACTOR,
    SESSION,
    WHOAMI,
)
from proxy.web.pages import ICON_SVG
from proxy.web.visit import Refused, Site, Visit, answer

Handler = Callable[[Visit], Awaitable[web.Response]]


def _without_traceback(line: logging.LogRecord) -> bool:
    """A request that cannot be read is its sender's mistake, not ours: one line of the log."""
    if line.exc_info and isinstance(line.exc_info[1], HttpProcessingError):
        line.msg, line.args = "request to our own pages not understood: %s", (type(line.exc_info[1]).__name__,)
        line.exc_info, line.levelno, line.levelname = None, logging.INFO, "INFO"
    return True


_parser_log = logging.getLogger("ostiary.web.parser")
_parser_log.addFilter(_without_traceback)
RUNNER_LIMITS: Final[Mapping[str, Any]] = {
    "max_line_size": 32 * 1024,
    "max_field_size": 32 * 1024,
    "auto_decompress": False,
    "logger": _parser_log,
}
"""For `aiohttp.web.AppRunner`. A return address travels sealed and escaped in our URLs: 8 KiB a line is too few. No
body is unpacked: none that we read has a reason to be packed."""
_MAX_BODY: Final = 96 * 1024  # a logout token is at most 64 KiB
_PUBLIC: Final = ((b"Cache-Control", b"public, max-age=300"), (b"X-Content-Type-Options", b"nosniff"))


async def _icon(visit: Visit) -> web.Response:
    del visit
    headers = (*_PUBLIC, (b"Content-Type", b"image/svg+xml"), (b"Content-Security-Policy", b"default-src 'none'"))
    return answer(200, headers, ICON_SVG)


async def _jwks(visit: Visit) -> web.Response:
    """The public keys that verify `X-Ostiary-Assertion`; readable by any page, they are public."""
    headers = (*_PUBLIC, (b"Content-Type", b"application/jwk-set+json"), (b"Access-Control-Allow-Origin", b"*"))
    return answer(200, headers, msgspec.json.encode(visit.context.signer().jwks()))


# HEAD is answered where GET only shows something. Where GET uses something up (a code, a ticket), it is 405: programs
# that look at links before people do must not spend them.
_ROUTES: Final[tuple[tuple[str, str, Handler, bool], ...]] = (
    ("GET", PORTAL, portal.show, True),
    ("GET", PREFIX, portal.go_to_portal, True),
    ("GET", LOGIN, login.login, False),
    ("GET", CALLBACK, callback.receive, False),
    ("POST", BACKCHANNEL, backchannel.receive, False),
    ("GET", SAML_METADATA, saml.metadata, True),
    ("POST", SAML_ACS, saml.receive, False),
    ("GET", SAML_FINISH, saml.finish, False),
    ("POST", SAML_FINISH, saml.finish_form, False),
    ("GET", SAML_SLO, saml_logout.receive, False),
    ("POST", SAML_SLO, saml_logout.receive, False),
    ("GET", SESSION, handover.receive, False),
    ("GET", LOGOUT, logout.ask, True),
    ("POST", LOGOUT, logout.leave, False),
    ("GET", PROVIDER_LOGOUT, provider_logout.leave_provider, False),
    ("GET", LOGGED_OUT, logout.logged_out, True),
    ("GET", WHOAMI, portal.whoami, True),
    ("GET", SECOND_FACTOR, second_factor.ask, True),
    ("POST", SECOND_FACTOR, second_factor.check, False),
    ("GET", FACTORS, second_factor_setup.show, True),
    ("POST", FACTORS, second_factor_setup.change, False),
    ("POST", INTERRUPTED, interrupted.keep, False),
    ("GET", RESUME, interrupted.resume, True),
    ("POST", RESUME, interrupted.give_back, False),
    ("POST", ENROL_PATH, device_reports.enrol, False),
    ("POST", NONCE_PATH, device_reports.nonce, False),
    ("POST", REPORT_PATH, device_reports.report, False),
    ("POST", ATTEST_PATH, device_reports.attest, False),
    ("POST", ACTIVATE_PATH, device_reports.activate, False),
    ("GET", PROVE_PATH, device_proof.ask, False),
    ("POST", PROOF_PATH, device_proof.receive, False),
    ("POST", DEVICE_CODE, devices.add, False),
    ("POST", DEVICE_REMOVE, devices.remove, False),
    ("POST", DEVICE_WEBHOOK, device_webhook.receive, False),
    ("GET", ICON, _icon, True),
    ("GET", JWKS, _jwks, True),
)


def make_control(context: WebContext) -> web.Application:
    """Everything under `/.ostiary/` on every host, the portal on the login host, and the published keys.

    Believes the `X-Ostiary-*` request headers: serve it on a socket that only the gateway reaches.
    """
    site = Site(context)
    application = web.Application(client_max_size=_MAX_BODY)
    for method, path, handler, head in _ROUTES:
        endpoint = _endpoint(site, handler)
        application.router.add_route(method, path, endpoint)
        if head:
            application.router.add_route("HEAD", path, endpoint)
    application.middlewares.append(_unrouted(site))
    application.on_response_prepare.append(_anonymous)
    return application


async def _anonymous(_request: web.Request, response: web.StreamResponse) -> None:
    """Which program and version answers is nobody's business."""
    response.headers.popall("Server", None)


def _endpoint(site: Site, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def endpoint(request: web.Request) -> web.Response:
        visit = Visit(site, request)
        try:
            return await handler(visit)
        except Refused as refused:
            return visit.refused(refused)
        except StoreUnavailable as error:
            site.context.log.warning("session store: %s", error)
            return visit.refused(Refused(Reason.STORE_UNAVAILABLE))
        except web.HTTPRequestEntityTooLarge:
            return visit.refused(Refused(Reason.BODY_TOO_LARGE))
        except (web.RequestPayloadError, ConnectionError):
            return visit.refused(Refused(Reason.BAD_REQUEST, "The body of the request ended early or was malformed."))
        except Exception:  # the last resort: whatever it is, nobody gets in and the page is ours
            site.context.log.exception("own page failed, reference %s", visit.reference)
            return visit.refused(Refused(Reason.INTERNAL_ERROR))

    return endpoint


def _unrouted(site: Site) -> Middleware:
    @web.middleware
    async def unrouted(request: web.Request, handler: Next) -> web.StreamResponse:
        """404 and 405 in our own words."""
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            refused = Visit(site, request).refused(
                Refused(Reason.BAD_REQUEST, f"This address does not answer {request.method}.")
            )
            refused.set_status(405)
            refused.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
            return refused
        except web.HTTPNotFound:
            return Visit(site, request).refused(Refused(Reason.NO_ROUTE))

    return unrouted
