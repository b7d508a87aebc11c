"""The token endpoint (RFC 6749 section 3.2) and userinfo (OpenID Connect Core section 5.3)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from multidict import MultiMapping

from proxy.demo.idp.ledger import TOKEN_LIFETIME, Grant, Refusal
from proxy.demo.idp.provider import LOG, PROVIDER, Provider, same_secret


async def token(request: web.Request) -> web.Response:
    """POST /token."""
    provider = request.app[PROVIDER]
    form = await request.post()
    try:
        _authenticate(provider, request, form)
        return _granted(provider, form)
    except Refusal as error:
        LOG.info("token request refused: %s", error.description)
        status = 401 if error.code == "invalid_client" else 400
        headers = {"WWW-Authenticate": 'Basic realm="demo"'} if status == 401 else {}
        body = {"error": error.code, "error_description": error.description}
        return web.json_response(body, status=status, headers=headers)


async def userinfo(request: web.Request) -> web.Response:
    """GET or POST /userinfo, with the access token in the Authorization header (RFC 6750)."""
    provider = request.app[PROVIDER]
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    grant = provider.ledger.by_access_token(given) if scheme.lower() == "bearer" else None
    if grant is None:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    person = provider.people[grant.login.sub]
    return web.json_response({"sub": person.sub, **person.claims(grant.request.scope)})


def _granted(provider: Provider, form: MultiMapping[Any]) -> web.Response:
    if len(set(form)) != len(form):
        raise Refusal("invalid_request", "a parameter is given more than once")
    match form.get("grant_type"):
        case "authorization_code":
            return _answer(provider, _by_code(provider, form), first=True)
        case "refresh_token":
            return _answer(provider, provider.ledger.refresh(str(form.get("refresh_token", ""))), first=False)
        case other:
            raise Refusal("unsupported_grant_type", f"grant_type {other!r} is not offered")


def _by_code(provider: Provider, form: MultiMapping[Any]) -> Grant:
    redirect_uri, verifier = str(form.get("redirect_uri", "")), str(form.get("code_verifier", ""))
    return provider.ledger.redeem(str(form.get("code", "")), redirect_uri, verifier)


def _answer(provider: Provider, grant: Grant, *, first: bool) -> web.Response:
    access = provider.ledger.access_token(grant)
    person = provider.people[grant.login.sub]
    body = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME,
        "refresh_token": provider.ledger.refresh_token(grant),
        "id_token": provider.signer.id_token(grant, person, access, provider.clock(), first=first),
        "scope": " ".join(grant.request.scope),
    }
    return web.json_response(body)


def _authenticate(provider: Provider, request: web.Request, form: MultiMapping[Any]) -> None:
    """client_secret_basic or client_secret_post, one of them (RFC 6749 section 2.3)."""
    header = request.headers.get("Authorization")
    if header is not None and "client_secret" in form:
        raise Refusal("invalid_request", "the client authenticates in two ways at once")
    if header is not None:
        name, secret = _basic(header)
    else:
        name, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
    known = same_secret(name, provider.client.client_id)
    if not (same_secret(secret, provider.client.client_secret) and known):
        raise Refusal("invalid_client", "client_id or client_secret is wrong")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    try:
        name, mark, secret = b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        mark = ""
    if scheme.lower() != "basic" or not mark:
        raise Refusal("invalid_client", "the Authorization header is not Basic")
    return unquote_plus(name), unquote_plus(secret)
