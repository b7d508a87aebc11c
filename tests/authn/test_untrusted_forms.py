"""Whatever bytes arrive where a token, a key set or a document is expected: a clean refusal, never another error."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from lying_provider import b64

from proxy.authn.errors import ProviderUnavailable, TokenInvalid
from proxy.authn.fetch import Fetcher, is_secure
from proxy.authn.keys import ASYMMETRIC, KeySet, parse_key_set
from proxy.authn.token_endpoint import Tokens
from proxy.authn.tokens import Expected, check_id_token, check_logout_token, read_header, verify_signature
from proxy.pki.authority import Authority
from proxy.wire.strict_json import parse_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
NAMES = ["iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub", "at_hash", "auth_time", "events", "jti", "sid"]
RS256 = b64(b'{"alg":"RS256"}')
HEADERS = ["alg", "kid", "typ", "cty", "crit", "jwk", "x5t"]
CLAIMS = st.dictionaries(st.sampled_from(NAMES), JSON)


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(TokenInvalid):
        read_header(text, ASYMMETRIC)


@given(st.dictionaries(st.sampled_from(HEADERS), JSON | st.sampled_from(["RS256", "none", "JWT"])))
def test_any_header_is_read_or_refused_and_proves_nothing_without_a_key(header: dict[str, Any]) -> None:
    token = f"{b64(json.dumps(header).encode())}.e30.AAAA"
    with pytest.raises(TokenInvalid):
        verify_signature(token, read_header(token, ASYMMETRIC), KeySet())


@given(CLAIMS)
def test_any_claims_are_refused_unless_they_are_right(claims: dict[str, Any]) -> None:
    expected = Expected(issuer="https://idp.example", client_id="c", nonce="n")
    with pytest.raises(TokenInvalid):
        check_id_token(claims, read_header(f"{RS256}.e30.AAAA", ASYMMETRIC), expected, now=1e9)
    with pytest.raises(TokenInvalid):
        check_logout_token(claims, issuer="https://idp.example", client_id="c", now=1e9)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_plain_object_or_an_error(data: bytes) -> None:
    try:
        value = parse_object(data)
    except ValueError:
        return
    assert parse_object(json.dumps(value, allow_nan=False).encode()) == value
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "text",
    [
        *('{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "[]", "1", "", "{", '{"a":NaN}', '{"a":-Infinity}', '{"a":1e400}'),
        *('{"a":' + "[" * 40 + "]" * 40 + "}", '{"a":' + "[" * 100_000, '{"a":' + "9" * 5000 + "}"),
        *('{"a":"\\udc00"}', '\ufeff{"a":1}', '{"a":18446744073709551616}', "{'a':1}", '{"a":1}x'),
    ],
    ids=lambda text: text[:20],
)
def test_ambiguous_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|repeats|nested"):
        parse_object(text.encode())


@given(st.lists(st.dictionaries(st.sampled_from(["kty", "kid", "alg", "use", "crv", "n", "e", "x", "y"]), JSON)))
def test_any_keys_are_usable_or_left_out(listed: list[dict[str, Any]]) -> None:
    try:
        keys = parse_key_set(json.dumps({"keys": listed}).encode())
    except ValueError:
        return
    for key in keys.keys:
        assert any(key.fits(alg) and key.bound_to(alg) for alg in ASYMMETRIC)


@given(st.binary(max_size=64))
def test_stored_tokens_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(Tokens.from_bytes(data), Tokens)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://idp.example", True),
        ("https://idp.example:8443/a?b=c", True),
        ("http://localhost:9000", True),
        ("http://idp.apps.localhost:9000", True),
        ("http://127.0.0.1:1", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:1", True),
        ("http://idp.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://evil.example/127.0.0.1", False),
        ("http://0x7f000001", False),
        ("http://10.0.0.1", False),
        ("https://a@idp.example", False),
        ("https://:p@idp.example", False),
        ("https://idp.example#f", False),
        ("https://idp.example/a b", False),
        ("https://idp.example\\@evil.example", False),
        ("https://idp.example/\n", False),
        ("https://ıdp.example", False),
        ("https://", False),
        ("ftp://idp.example", False),
        ("//idp.example", False),
        ("https://idp.example:99999", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_addresses_a_provider_may_have(url: str, *, secure: bool) -> None:
    assert is_secure(url) is secure


async def test_a_private_authority_is_trusted_only_where_it_is_configured(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    authority = Authority.create("Corp", now=time.time())
    issued = authority.server(["localhost"], now=time.time())
    for name, pem in (("ca", authority.cert_pem), ("cert", issued.cert_pem), ("key", issued.key_pem)):
        (tmp_path / name).write_bytes(pem)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def hello(_request: web.Request) -> web.Response:
        return web.json_response({"hello": True})

    app = web.Application()
    app.router.add_get("/", hello)
    server = TestServer(app, scheme="https", host="localhost")
    await server.start_server(ssl=tls)
    try:
        url = f"https://localhost:{server.port}/"
        assert (await Fetcher(http, str(tmp_path / "ca")).get(url)).json() == {"hello": True}
        with pytest.raises(ProviderUnavailable, match="Certificate"):
            await Fetcher(http, None).get(url)
    finally:
        await server.close()
