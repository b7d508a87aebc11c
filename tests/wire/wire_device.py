"""Laptops that the proxy knows, and people on them: for the tests of what is tied to a device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from wire_stack import HOST, LOGIN, Setup, Stack

from proxy.model.device import Bound
from proxy.model.identity import Identity


def complying() -> dict[str, Any]:
    """The rule that admits who is logged in on a laptop that complies; a new one each time, as `staff`."""
    return {"allow": [{"name": "complying", "groups": ["staff"], "device": {"compliant": True}}]}


ROUTES = {"upload": {**complying(), "body_bytes": 10_000_000}, "sockets": complying()}
DEVICES = {"enrolment": "open", "proof": "10m", "certificates": {"by": "fingerprint"}}


def setup(**configuration: Any) -> Setup:
    """Devices, and client certificates by which some are known."""
    return Setup(changes=dict(ROUTES), configuration={"devices": DEVICES, **configuration}, tls={"client_ca": "ca.crt"})


def certificate(stack: Stack, name: str) -> tuple[Path, str]:
    """A client certificate: the file with its key, and its SHA-256."""
    from cryptography.hazmat.primitives import hashes

    issued = stack.authority.client(name, now=time.time())
    file = stack.folder / f"{name}.pem"
    file.write_bytes(issued.cert_pem + issued.key_pem)
    return file, issued.certificate.fingerprint(hashes.SHA256()).hex()


async def known(stack: Stack, device: str, *, compliant: bool = True, sha256: str = "", observed: float = 0) -> str:
    """A management system tells of this laptop."""
    matches = {"id": device} | ({"cert_sha256": sha256} if sha256 else {})
    now = time.time()
    return await stack.worker.devices.observe("mdm", matches, {"compliant": compliant}, observed or now, now)


async def handle_of(stack: Stack, bound: Bound | None, *, host: str = HOST, **about: Any) -> str:
    """Ann logs in on a laptop: the handle of her session on one host."""
    ann = Identity(
        kind="person", subject="1", provider="corp", email="ann@example.com", groups=frozenset(("staff",)), **about
    )
    sessions = stack.worker.sessions
    live = await sessions.create(ann, "corp", b"", "", time.time(), device=bound)
    return await sessions.new_handle(live.sid, host)


def asked(handle: str, line: str = "GET /x HTTP/1.1", *fields: str, host: str = HOST, body: str = "") -> bytes:
    """A request with this session cookie."""
    lines = [line, f"Host: {host}", f"Cookie: __Host-ostiary={handle}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


__all__ = ["HOST", "LOGIN", "asked", "certificate", "handle_of", "known", "setup"]
