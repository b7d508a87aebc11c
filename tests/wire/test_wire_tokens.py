"""Bearer tokens that name services: believed or not, the app never sees one. What is not ours passes untouched."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from strict_reader import Message
from wire_client import settle
from wire_device import HOST, asked, certificate, handle_of
from wire_stack import Setup, Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISSUER = "https://ci.example"
KEY = ec.generate_private_key(ec.SECP256R1())
ROGUE = ec.generate_private_key(ec.SECP256R1())
JWK = {**json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(KEY.public_key())), "kid": "1", "use": "sig"}
CI: dict[str, Any] = {
    "name": "ci",
    "issuer": ISSUER,
    "jwks": "ci.json",
    "audiences": ["https://deploy"],
    "service": "{job}",
}
ONCE = {**CI, "audiences": ["https://deploy"], "name": "once", "issuer": "https://once.example", "reuse": "0s"}
SETUP = Setup(
    changes={
        "upload": {"allow": [{"name": "jobs", "services": ["ci:deploy", "once:deploy"]}]},
        "edited": {"allow": [{"name": "anybody", "authenticated": True}]},
    },
    configuration={"workloads": {"issuers": [CI, ONCE]}},
    tls={"client_ca": "ca.crt"},
    files={"ci.json": json.dumps({"keys": [JWK]}).encode()},
)


def token(key: ec.EllipticCurvePrivateKey = KEY, **claims: Any) -> str:
    """A CI job's token."""
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": "https://deploy", "sub": "job", "job": "deploy", "iat": now, "exp": now + 300}
    return jwt.encode(usual | claims, key, algorithm="ES256", headers={"kid": "1"})


def request(line: str, *fields: str, host: str = HOST) -> bytes:
    """A request of nobody."""
    return ("\r\n".join([line, f"Host: {host}", *fields]) + "\r\n\r\n").encode()


async def answered(stack: Stack, data: bytes, **connecting: Any) -> Message:
    """The answer on a connection of its own."""
    stack.origin.forget()
    client = await stack.connect(**connecting)
    await client.send(data)
    response = await client.response()
    await settle()
    client.close()
    assert response is not None
    return response


async def test_a_jobs_token_makes_it_a_service_and_stays_here(stack: Stack) -> None:
    one = token()
    for name in ("Authorization: Bearer", "authorization:   bearer", "AUTHORIZATION: BEARER\t"):
        response = await answered(stack, request("GET /upload HTTP/1.1", f"{name} {one}"))
        assert response.status == 200
        (seen,) = stack.origin.saw.requests
        assert seen.values("X-Ostiary-User") == [b"ci:deploy"]
        assert not seen.aliases("Authorization")
        assert one.encode() not in seen.raw
        assert one.split(".")[2].encode() not in seen.raw
    stack.worker.journal.flush()
    assert one.split(".")[2] not in (stack.folder / "audit.jsonl").read_text()


async def test_a_connection_that_repeats_itself(stack: Stack) -> None:
    """The second request's fields are not read again; the third has another token."""
    stack.origin.forget()
    client = await stack.connect()
    for job, status in (("deploy", 200), ("deploy", 200), ("test", 403), ("deploy", 200)):
        await client.send(request("GET /upload HTTP/1.1", f"Authorization: Bearer {token(job=job)}"))
        response = await client.response()
        assert response is not None
        assert response.status == status
    assert [seen.values("X-Ostiary-User") for seen in stack.origin.saw.requests] == [[b"ci:deploy"]] * 3
    client.close()


@pytest.mark.parametrize("lie", ["expired", "another key", "another audience", "another algorithm"])
async def test_a_token_that_is_not_accepted_goes_nowhere(stack: Stack, lie: str) -> None:
    """Not even when a session comes along that would be: who shows a token is judged by it."""
    told = {
        "expired": token(exp=int(time.time()) - 100),
        "another key": token(ROGUE),
        "another audience": token(aud="https://other"),
        "another algorithm": jwt.encode({"iss": ISSUER}, "x" * 64, algorithm="HS256"),
    }[lie]
    for path in ("/upload", "/x", "/public"):
        response = await answered(stack, stack.request(f"GET {path} HTTP/1.1", [f"Authorization: Bearer {told}"]))
        assert response.status == 401
        assert json.loads(response.body)["reason"] == "token-invalid"
        (challenge,) = (one for one in response.values("WWW-Authenticate") if one.startswith(b"Bearer "))
        assert b'error="invalid_token"' in challenge
        assert not stack.origin.saw.octets


async def test_a_token_that_may_be_used_once(stack: Stack) -> None:
    once = token(iss="https://once.example", jti="a-1")
    data = request("GET /upload HTTP/1.1", f"Authorization: Bearer {once}")
    assert (await answered(stack, data)).status == 200
    response = await answered(stack, data)
    assert response.status == 401
    assert json.loads(response.body)["reason"] == "token-replayed"
    assert any(one.startswith(b"Bearer ") for one in response.values("WWW-Authenticate"))
    assert not stack.origin.saw.octets


@pytest.mark.parametrize(
    "value",
    [
        "Bearer abc.def.ghi",
        "Bearer " + jwt.encode({"iss": "https://somebody.else"}, "x" * 64, algorithm="HS256"),
        "Basic YTpi",
        "Bearer",
        "bearer one two",
        'Digest username="a", uri="/"',
    ],
)
async def test_what_is_not_ours_is_the_apps(stack: Stack, value: str) -> None:
    response = await answered(stack, stack.request("GET /x HTTP/1.1", [f"Authorization: {value}"]))
    assert response.status == 200
    (seen,) = stack.origin.saw.requests
    assert seen.values("Authorization") == [value.encode()]
    assert seen.values("X-Ostiary-Email") == [b"ann@example.com"]


@pytest.mark.parametrize(
    "fields",
    [
        ["Authorization: Bearer {token}", "Authorization: Bearer {token}"],
        ["Authorization: Bearer {token}", "Authorization: Basic YTpi"],
        ["Authorization:", "authorization: Bearer {token}"],
        ["Authorization: Bearer {token}, Bearer x"],
        ["Authorization: Bearer x {token}"],
        ['Authorization: Bearer "{token}"'],
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(stack: Stack, fields: list[str]) -> None:
    one = token()
    response = await answered(
        stack, stack.request("GET /x HTTP/1.1", [field.replace("{token}", one) for field in fields])
    )
    assert response.status == 400
    assert not stack.origin.saw.octets


async def test_a_token_that_connection_names_is_dropped(stack: Stack) -> None:
    fields = (f"Authorization: Bearer {token()}", "Connection: authorization")
    assert (await answered(stack, request("GET /upload HTTP/1.1", *fields))).status in (401, 403)
    assert not stack.origin.saw.octets


async def test_tokens_elsewhere_are_never_read(stack: Stack) -> None:
    one = token()
    for line in (f"GET /upload?access_token={one} HTTP/1.1", "GET /upload HTTP/1.1"):
        data = request(line, f"X-Authorization: Bearer {one}", f"Proxy-Authorization: Bearer {one}")
        assert (await answered(stack, data)).status in (401, 403)
        assert not stack.origin.saw.octets


async def test_a_token_decides_and_not_the_session_that_comes_along(stack: Stack) -> None:
    handle = await handle_of(stack, None)
    response = await answered(stack, asked(handle, "GET /edited HTTP/1.1", f"Authorization: Bearer {token()}"))
    assert response.status == 200
    (seen,) = stack.origin.saw.requests
    assert seen.values("X-Ostiary-User") == [b"ci:deploy"]
    assert not seen.aliases("X-Ostiary-Email")
    assert handle.encode() not in seen.raw


async def test_a_certificate_that_names_another_service_makes_it_nobody(stack: Stack) -> None:
    pair, _ = certificate(stack, "backup.example.org")
    data = request("GET /edited HTTP/1.1", f"Authorization: Bearer {token()}")
    response = await answered(stack, data, tls=HOST, pair=pair)
    assert response.status == 401
    assert json.loads(response.body)["reason"] == "token-invalid"
    assert not stack.origin.saw.octets


async def test_our_own_pages_do_not_get_it_either(stack: Stack) -> None:
    response = await answered(stack, request("GET /.ostiary/whoami HTTP/1.1", f"Authorization: Bearer {token()}"))
    assert response.status in (200, 401)
    assert b"ci:deploy" not in response.body
