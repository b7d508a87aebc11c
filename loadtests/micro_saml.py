"""What a SAML login costs, in CPU: `python -m loadtests.micro_saml`.

No assertion on time; the table is to be read. The target is 25 ms of CPU for each login: the request we sign, and the
response we verify, decrypt and read, on whatever thread that happens. Half a response's cost is the provider's RSA
and ours; a longer list of groups shows what XML itself costs.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "authn" / "saml"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
from lxml import etree
from saml_idp import ACS, ENTITY, NOW, OUR_SLO, REQUEST, Idp
from saml_signer import certificate_pem, pem_of, rsa_key

from proxy.authn.saml import Entity, Keys, SamlProvider, in_response_to
from proxy.authn.saml.strict_xml import parse
from proxy.settings import schema

US = Entity(entity_id=ENTITY, acs_url=ACS, slo_url=OUR_SLO)
MANY = {"groups": [f"cn=group-{number},ou=teams,dc=partner,dc=example" for number in range(200)]}
LARGE = b"<x>" + b"<y a='1'>" * 30 + b"<z b='2'/>" * 9_000 + b"</y>" * 30 + b"</x>"


async def milliseconds(call: Callable[[], Awaitable[object]], rounds: int = 40) -> float:
    """CPU of the whole process, all threads, for each call: the best of three runs."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for _ in range(rounds):
            await call()
        best = min(best, (time.process_time() - began) / rounds)
    return best * 1000


def provider(http: aiohttp.ClientSession, folder: str) -> SamlProvider:
    """As an admin would configure it, with keys of 2048 bits on both sides."""
    metadata = Path(folder) / "idp.xml"
    metadata.write_bytes(Idp().metadata())
    settings = schema.SamlProvider(name="partner", metadata=str(metadata), domains=("partner.example",))
    keys = Keys(key=pem_of(rsa_key("sp")), certificate=certificate_pem(rsa_key("sp")))
    return SamlProvider(settings, US, keys, http, lambda: NOW)


async def main() -> None:
    """Print the table."""
    idp = Idp()
    responses = {
        "response with a signed assertion": idp.response(),
        "response and assertion signed": idp.response(signed="assertion and response"),
        "signed and encrypted (AES-GCM, RSA-OAEP)": idp.response(signed="assertion and response", encryption={}),
        "signed assertion with 200 groups": idp.response(attributes=MANY),
        "all signed, encrypted, with 200 groups": idp.response(
            signed="assertion and response", encryption={}, attributes=MANY
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        async with aiohttp.ClientSession() as http:
            ours = provider(http, folder)
            sent = await milliseconds(lambda: ours.login(relay_state="x", request_id=REQUEST))
            print(f"{sent:8.2f} ms  request, signed, by redirect")
            for title, root in responses.items():
                text = base64.b64encode(etree.tostring(root)).decode()
                took = await milliseconds(lambda text=text: ours.accept(text, request_id=REQUEST, now=NOW))
                print(
                    f"{took:8.2f} ms  {title} ({len(text) * 3 // 4 / 1024:.0f} KiB); with the request {took + sent:.2f}"
                )

            async def hint(text: str = text) -> None:
                in_response_to(text)

            async def refused() -> None:
                parse(LARGE)

            print(f"{await milliseconds(hint):8.2f} ms  the hint that finds the attempt (on the event loop)")
            print(f"{await milliseconds(refused):8.2f} ms  parsing 9,000 elements")


if __name__ == "__main__":
    asyncio.run(main())
