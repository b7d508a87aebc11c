"""Starts the SAML provider made of npm `samlp` and tells it who we are."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

HERE = Path(__file__).parent
MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


def require_samlp() -> str:
    """The node program; without it these tests are skipped aloud, and fail where CI=true says they must run."""
    node = shutil.which("node")
    if node and (HERE / "node_modules" / "samlp").is_dir():
        return node
    text = "the SAML provider is not installed: run `make test-provider` (needs node and npm)"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)


class SamlpProvider:
    """The provider as a child process."""

    async def __aenter__(self) -> Self:
        node, pipe = require_samlp(), asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            node, "--no-deprecation", str(HERE / "samlp.mjs"), stdin=pipe, stdout=pipe, cwd=HERE
        )
        self.origin: str = (await self._answer())["origin"]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    @property
    def metadata(self) -> str:
        return f"{self.origin}/metadata"

    async def register(self, metadata: str, **more: Any) -> None:
        """Make us its service provider, from our metadata. `more`: `encrypt` (how), `signResponse`, `binding`."""
        root = etree.fromstring(metadata.encode())
        text = root.findtext(f".//{MD}KeyDescriptor//{{http://www.w3.org/2000/09/xmldsig#}}X509Certificate")
        assert text
        pem = f"-----BEGIN CERTIFICATE-----\n{text.strip()}\n-----END CERTIFICATE-----\n"
        public = x509.load_pem_x509_certificate(pem.encode()).public_key()
        told = {
            "entityId": root.get("entityID"),
            "acs": root.find(f".//{MD}AssertionConsumerService").get("Location"),  # type: ignore[union-attr]  # there
            "slo": root.find(f".//{MD}SingleLogoutService").get("Location"),  # type: ignore[union-attr]  # the same
            "cert": pem,
            "publicKey": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told | more).encode() + b"\n")
        assert await self._answer() == {"ok": True}

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        raise AssertionError("the provider ended before it said anything")
