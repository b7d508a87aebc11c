"""The provider as an aiohttp application: its addresses and what holds for all of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo.idp import authorize, logout, token
from proxy.demo.idp.provider import PROVIDER, Provider, problem

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # no-referrer would make browsers say `Origin: null` on our own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def make_application(provider: Provider) -> web.Application:
    """Everything the provider answers."""
    application = web.Application(middlewares=[_guard], client_max_size=64 * 1024)
    application[PROVIDER] = provider
    application.router.add_get("/.well-known/openid-configuration", _discovery)
    application.router.add_get("/jwks", _jwks)
    for path, handler in (
        ("/authorize", authorize.authorize),
        ("/userinfo", token.userinfo),
        ("/logout", logout.end_session),
    ):
        application.router.add_get(path, handler)
        application.router.add_post(path, handler)
    application.router.add_post("/login", authorize.answer)
    application.router.add_post("/token", token.token)
    application.router.add_get("/", logout.home)
    application.router.add_post("/end", logout.end_one)
    return application


def discovery(issuer: str) -> dict[str, Any]:
    """The metadata document (OpenID Connect Discovery section 3)."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "end_session_endpoint": f"{issuer}/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": [authorize.ONE_FACTOR, authorize.TWO_FACTORS],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid"),
            *("name", "preferred_username", "email", "email_verified", "groups"),
        ],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


async def _discovery(request: web.Request) -> web.Response:
    return web.json_response(discovery(request.app[PROVIDER].issuer))


async def _jwks(request: web.Request) -> web.Response:
    return web.json_response(request.app[PROVIDER].signer.jwks())


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only under its own name: a foreign site that points its name at loopback (DNS rebinding) reaches nothing."""
    provider = request.app[PROVIDER]
    if request.host != urlsplit(provider.issuer).netloc:
        answer: web.StreamResponse = problem("Unknown host", f"This provider is at {provider.issuer} only.", 421)
    elif _foreign_form(request, provider.issuer):
        answer = problem("A foreign page sent this form", "Nothing was done.", 403)
    else:
        answer = await handler(request)
    answer.headers.update(_HEADERS)
    return answer


def _foreign_form(request: web.Request, issuer: str) -> bool:
    """A form on our own pages, sent from somebody else's."""
    return request.path in {"/login", "/end"} and request.headers.get("Origin", issuer) != issuer
