"""Fuzzer of bearer tokens: `python tests/fuzz/fuzz_bearer_token.py [seconds] [seed]`. Exit 1 on a finding.

Changes genuine tokens of an issuer and JWT-SVIDs of a trust domain (bits, spelling, splices of two, headers, claims
signed anew with a strange key, JSON that repeats names) and presents them. Only an untouched token may name a service,
and only its own; a token that a lenient reader would take for one of ours is always recognised; nothing else raises.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.authn.workload.service import Workloads
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.sessions.memory import MemoryStore
from proxy.settings import schema

NOW = 1_800_000_000.0
ISSUER, ORIGIN = "https://ci.example", "https://deploy.example"
OURS, STRANGE = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ALPHABET = 'ABCXYZabcxyz0189-_=+/. \n\x00é{}":,'
VALUES: list[Any] = [
    "",
    "x",
    0,
    -1,
    1e308,
    True,
    None,
    [],
    [ORIGIN],
    {},
    {"a": 1},
    ISSUER + "/",
    "spiffe://a.example/b",
]
NAMES = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "repository", "nonce", "events", "typ", "alg", "kid", "crit"]


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: str, payload: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A compact JWS over any two texts, JSON or not."""
    head = f"{b64(header.encode())}.{b64(payload.encode())}"
    return f"{head}.{b64(jwt.get_algorithm_by_name('ES256').sign(head.encode(), key))}"


def genuine(rng: random.Random) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """An honest token, the service it names, its header and its claims."""
    number = rng.randrange(10_000)
    header: dict[str, Any] = {"alg": "ES256", "kid": "k"}
    if rng.random() < 0.5:
        claims = {"iss": ISSUER, "aud": ORIGIN, "repository": f"acme/app{number}", "exp": NOW + 60, "iat": NOW}
        name = f"ci:acme/app{number}"
    else:
        name = f"spiffe://mesh.example/app{number}"
        claims = {"sub": name, "aud": [ORIGIN], "exp": NOW + 60}
    return signed(json.dumps(header), json.dumps(claims), OURS), name, header, claims


def mutated(rng: random.Random, token: str, other: str) -> str:
    """The token after one to three changes of its text."""
    for _ in range(rng.randint(1, 3)):
        at, to = sorted((rng.randrange(len(token) + 1), rng.randrange(len(token) + 1)))
        token = rng.choice(
            [
                token[:at] + rng.choice(ALPHABET) + token[at + 1 :],
                token[:at] + rng.choice(ALPHABET) + token[at:],
                token[:at] + token[to:],
                token[:at] + other[at:],
                ".".join(rng.choice(pair) for pair in zip(token.split("."), other.split("."), strict=False)),
            ]
        )
    return token


def rewritten(rng: random.Random, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Other members, perhaps repeated, signed by a stranger, or by nobody."""
    texts = []
    for members in (header, claims):
        pairs = list(members.items())
        for _ in range(rng.randrange(3)):
            pairs.insert(rng.randrange(len(pairs) + 1), (rng.choice(NAMES), rng.choice(VALUES)))
        texts.append("{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs) + "}")
    token = signed(texts[0], texts[1], STRANGE)
    return token if rng.random() < 0.8 else token.rpartition(".")[0] + rng.choice([".", ".AA", ""])


async def named(judge: Workloads, token: str) -> str | None:
    """The service a token is taken for. What is not recognised names nobody: it is the app's own."""
    raw = token.encode("utf-8", "surrogatepass")
    if not judge.recognises(raw):
        return None
    found = await judge.verify(raw, ORIGIN, NOW)
    if judge.cached(raw, ORIGIN, NOW) is not found:
        raise AssertionError("what was decided is not what is remembered")
    if isinstance(found, Identity):
        return found.subject
    if found is not Reason.TOKEN_INVALID:
        raise AssertionError(f"refused as {found}")
    return None


async def case(rng: random.Random, judge: Workloads) -> str | None:
    """One token and what is done to it. Returns what went wrong, or None."""
    fresh = [genuine(rng) for _ in range(2)]
    token, name, header, claims = fresh[0]
    honest = {each[0]: each[1] for each in fresh}
    if await named(judge, token) != name:
        return f"an honest token does not name {name}: {token}"
    changed = mutated(rng, token, fresh[1][0])
    if (found := await named(judge, changed)) != honest.get(changed):
        return f"a changed token names {found}: {changed!r}"
    strange = rewritten(rng, header, claims)
    if (found := await named(judge, strange)) is not None:
        return f"a stranger's token names {found}: {strange!r}"
    plain = signed(json.dumps(header), json.dumps({**claims, "x": rng.random()}), STRANGE)
    return None if judge.recognises(plain.encode()) else f"not recognised: {plain!r}"


def judge_in(folder: Path) -> Workloads:
    """An issuer with its keys in a file, and a trust domain with the same key in its bundle."""
    public = {**json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(OURS.public_key())), "kid": "k"}
    (folder / "keys.json").write_text(json.dumps({"keys": [public]}))
    (folder / "bundle.json").write_text(json.dumps({"keys": [public | {"use": "jwt-svid"}]}))
    issuer = schema.TokenIssuer(
        name="ci", issuer=ISSUER, audiences=(ORIGIN,), service="{repository}", jwks=str(folder / "keys.json")
    )
    domain = schema.TrustDomain(name="mesh.example", bundle=str(folder / "bundle.json"))
    settings = schema.Workloads(trust_domains=(domain,), issuers=(issuer,))
    nobody = cast("aiohttp.ClientSession", None)  # keys are in files: nothing is fetched
    return Workloads(settings, nobody, lambda: NOW, MemoryStore().first_seen)


async def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_bearer_token: seed {seed}\n")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        judge = judge_in(Path(folder))
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(50):
            if found := await case(rng, judge):
                sys.stdout.write(f"{found}\n")
                return 1
        tried += 200
    sys.stdout.write(f"fuzz_bearer_token: {tried} tokens, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(asyncio.run(main(float(words[0]), int(words[1]))))
