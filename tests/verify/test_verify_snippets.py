"""The snippets README shows to app developers, run as real programs against a real key set endpoint.

Each of `python/verify.py`, `node/verify.mjs` and `go/verify.go` is fed the same assertions, good and bad.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.utils import base64url_decode, base64url_encode

from proxy.assertion import JWKS_MAX_AGE, Signer
from proxy.model.identity import Identity

HERE = Path(__file__).parent
APP = "https://grafana.example.com"
ALICE = Identity(kind="person", subject="alice", provider="corp", email="alice@example.com", groups=frozenset({"sre"}))
BOT = Identity(kind="service", subject="spiffe://example.org/ci/deploy")
KEY, OTHER, FOREIGN = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class KeySet(ThreadingHTTPServer):
    """The login host as far as apps see it: `/.well-known/ostiary/jwks.json`, with two keys published."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.login = f"http://127.0.0.1:{self.server_port}"
        self.signer = Signer([pem(KEY), pem(OTHER)], self.login)


class Answer(BaseHTTPRequestHandler):
    server: KeySet

    def do_GET(self) -> None:
        found = self.path == "/.well-known/ostiary/jwks.json"
        body = json.dumps(self.server.signer.jwks() if found else {}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/jwk-set+json")
        self.send_header("Cache-Control", f"max-age={JWKS_MAX_AGE}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def key_set() -> Iterator[KeySet]:
    server = KeySet()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def missing(what: str) -> None:
    """Not a silent pass: an error in CI, a skip with its reason elsewhere."""
    text = f"{what}: this language's verification snippet was NOT tested"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


def python_program(_: Path) -> list[str]:
    return [sys.executable, str(HERE / "python" / "main.py")]


def node_program(_: Path) -> list[str]:
    if not shutil.which("node") or not shutil.which("npm"):
        missing("node and npm are not installed")
    if not (HERE / "node" / "node_modules" / "jose").is_dir():
        prepare(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], HERE / "node")
    return ["node", str(HERE / "node" / "main.mjs")]


def go_program(folder: Path) -> list[str]:
    if not shutil.which("go"):
        missing("go is not installed")
    prepare(["go", "build", "-o", str(folder / "verify"), "."], HERE / "go")
    return [str(folder / "verify")]


def prepare(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode:
        missing(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")


class App:
    """A program of an app developer: gets assertions, says whom it believes to be calling."""

    def __init__(self, command: list[str], login: str) -> None:
        environment = os.environ | {"OSTIARY_LOGIN": login, "OSTIARY_APP": APP}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
        )

    def receives(self, assertion: bytes | str) -> str:
        text = assertion.decode() if isinstance(assertion, bytes) else assertion
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="module", params=[python_program, node_program, go_program], ids=["python", "node", "go"])
def app(request: pytest.FixtureRequest, key_set: KeySet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    program = App(request.param(tmp_path_factory.mktemp("app")), key_set.login)
    yield program
    program.close()


def claims(key_set: KeySet, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    true = {"iss": key_set.login, "aud": APP, "sub": "alice", "iat": now, "nbf": now, "exp": now + 300, "jti": "x"}
    return {name: value for name, value in (true | changes).items() if value is not None}


def signed(
    key_set: KeySet, key: ec.EllipticCurvePrivateKey = KEY, head: dict[str, Any] | None = None, **changes: Any
) -> str:
    """An assertion like ours except for what is given."""
    header = {"kid": key_set.signer.kid, "typ": "ostiary+jwt"} | (head or {})
    return jwt.encode(claims(key_set, **changes), key, algorithm="ES256", headers=header)


def unsigned(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64url_encode(part).decode() for part in parts)


def mac_with_public_key(key_set: KeySet) -> str:
    """Algorithm confusion: HS256 with what everybody can read as the secret."""
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = unsigned({"alg": "HS256", "kid": key_set.signer.kid, "typ": "ostiary+jwt"}, claims(key_set))
    text = token.rpartition(".")[0]
    return f"{text}.{base64url_encode(hmac.digest(public, text.encode(), hashlib.sha256)).decode()}"


def own_key_inside(key_set: KeySet) -> str:
    """Signed with the attacker's key, which the header kindly brings along."""
    foreign = Signer([pem(FOREIGN)], key_set.login).jwks()["keys"][0]
    return signed(key_set, FOREIGN, {"jwk": foreign, "kid": foreign["kid"]})


def with_another_subject(key_set: KeySet) -> str:
    head, payload, signature = signed(key_set).split(".")
    changed = json.loads(base64url_decode(payload)) | {"sub": "mallory"}
    return f"{head}.{base64url_encode(json.dumps(changed).encode()).decode()}.{signature}"


def as_json(key_set: KeySet) -> str:
    head, payload, signature = signed(key_set).split(".")
    return json.dumps({"protected": head, "payload": payload, "signature": signature})


REFUSED = {
    "expired": lambda keys: signed(keys, exp=int(time.time()) - 60, iat=int(time.time()) - 360),
    "not valid for ten minutes yet": lambda keys: signed(keys, nbf=int(time.time()) + 600),
    "for another app": lambda keys: signed(keys, aud="https://wiki.example.com"),
    "for nobody": lambda keys: signed(keys, aud=None),
    "of another issuer": lambda keys: signed(keys, iss="https://login.evil.example"),
    "signed with another key under our key id": lambda keys: signed(keys, FOREIGN),
    "signed with a published key under the other's id": lambda keys: signed(keys, OTHER),
    "bringing its own key": own_key_inside,
    "algorithm none": lambda keys: unsigned({"alg": "none", "typ": "ostiary+jwt"}, claims(keys)),
    "algorithm none with our key id": lambda keys: unsigned(
        {"alg": "none", "kid": keys.signer.kid, "typ": "ostiary+jwt"}, claims(keys)
    ),
    "algorithm confusion": mac_with_public_key,
    "a foreign type": lambda keys: signed(keys, head={"typ": "at+jwt"}),
    "the common type": lambda keys: signed(keys, head={"typ": "JWT"}),
    "an empty signature": lambda keys: signed(keys).rpartition(".")[0] + ".",
    "another subject under our signature": with_another_subject,
    "JSON serialisation": as_json,
    "two dots": lambda _: "..",
    "no token": lambda _: "hello",
    "nothing": lambda _: "",
}


def test_a_person_is_recognised(app: App, key_set: KeySet) -> None:
    assert app.receives(key_set.signer.sign(ALICE, APP, time.time())) == "accepted alice"


def test_a_service_is_recognised(app: App, key_set: KeySet) -> None:
    assert app.receives(key_set.signer.sign(BOT, APP, time.time())) == "accepted spiffe://example.org/ci/deploy"


def test_an_assertion_at_the_end_of_its_minute_in_the_cache_is_accepted(app: App, key_set: KeySet) -> None:
    shortest = Signer([pem(KEY)], key_set.login, lifetime=120)
    assert app.receives(shortest.sign(ALICE, APP, time.time() - 60)) == "accepted alice"


def test_either_published_key_is_accepted_while_keys_change(app: App, key_set: KeySet) -> None:
    changed = Signer([pem(OTHER), pem(KEY)], key_set.login)
    assert changed.kid != key_set.signer.kid
    assert app.receives(changed.sign(ALICE, APP, time.time())) == "accepted alice"


@pytest.mark.parametrize("case", REFUSED)
def test_what_proves_nothing_is_refused(app: App, key_set: KeySet, case: str) -> None:
    assert app.receives(REFUSED[case](key_set)) == "refused"
    assert app.receives(key_set.signer.sign(ALICE, APP, time.time())) == "accepted alice"  # and does no harm
