"""Fuzzer of SAML responses: `python tests/fuzz/fuzz_saml_response.py [seconds] [seed]`. Exit 1 on a finding.

Mutates genuine responses (signed in each way, encrypted or not) as bytes, as text and as trees: parts are changed,
copied, moved, renamed, doubled, wrapped. Whatever comes out is refused as LoginRefused, or says exactly what the
provider signed; any other error is a finding as well.
"""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "authn" / "saml"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lxml import etree
from saml_idp import IDP, NOW, REQUEST, Idp
from saml_signer import SAML, certificate, rsa_key
from saml_stage import US
from saml_wrapping import EVIL, OF_ASSERTION, OF_RESPONSE

from proxy.authn.errors import LoginRefused
from proxy.authn.saml.assertion import Said, read_assertion
from proxy.authn.saml.response import Expected, Trusted, verified_assertion

EXPECTED = Expected(idp=IDP, entity=US, request_id=REQUEST, now=NOW)
TRUSTED = Trusted([certificate(rsa_key("idp"))], [rsa_key("sp")])
WORDS = [
    b"<!-- -->",
    b"<![CDATA[",
    b"]]>",
    b"&lt;",
    b"&#x61;",
    b"<?x?>",
    b"\x00",
    b"\xff",
    b'ID="_evil"',
    b"xmlns=''",
    b">",
]
Forge = list(OF_ASSERTION.values()) + list(OF_RESPONSE.values())


def genuine() -> list[bytes]:
    """One of each kind."""
    idp, ways = Idp(), ("assertion", "response", "assertion and response")
    plain = [idp.response(signed=way) for way in ways]
    return [etree.tostring(root) for root in [*plain, *(idp.response(signed=way, encryption={}) for way in ways)]]


def read(document: bytes) -> Said | None:
    """What we take from it; None when it is refused."""
    try:
        return read_assertion(verified_assertion(document, TRUSTED, EXPECTED), EXPECTED, TRUSTED.keys)
    except LoginRefused:
        return None


def as_bytes(rng: random.Random, document: bytes) -> bytes:
    """Cut, doubled, replaced, with something put in."""
    at, to = sorted(rng.randrange(len(document) + 1) for _ in range(2))
    to = min(to, at + 500)
    return rng.choice(
        [
            document[:at] + document[to:],
            document[:at] + document[at:to] * 2 + document[to:],
            document[:at] + rng.choice(WORDS) + document[at:],
            document[:at] + bytes([rng.randrange(256)]) + document[at + 1 :],
        ]
    )


def as_text(rng: random.Random, document: bytes) -> bytes:
    """A value, a name or an attribute becomes another of the same document."""
    pattern = rng.choice([rb'"[^"<>]*"', rb">[^<>]+<", rb"[\w.-]+:[\w.-]+"])
    found = list(re.finditer(pattern, document))
    if len(found) < 2:
        return document
    one, other = rng.choice(found), rng.choice(found)
    return document[: one.start()] + other.group() + document[one.end() :]


def as_tree(rng: random.Random, document: bytes) -> bytes:
    """Parts move or are copied, some of them with another name in them."""
    try:
        root = etree.fromstring(document)
    except etree.XMLSyntaxError:
        return document
    if rng.random() < 0.2:
        try:
            return etree.tostring(rng.choice(Forge)(root))
        except (AssertionError, IndexError, AttributeError):  # it has no such part
            return document
    everything = [element for element in root.iter() if isinstance(element.tag, str)]
    source, target = rng.choice(everything), rng.choice(everything)
    moved = etree.fromstring(etree.tostring(source, with_tail=False))
    for name in moved.iter(f"{{{SAML}}}NameID"):
        name.text = EVIL
    if rng.random() < 0.5 and moved.get("ID"):
        moved.set("ID", rng.choice(["_evil", "_assertion-1", "_response-1"]))
    parent = source.getparent()
    if rng.random() < 0.5 and parent is not None:
        parent.remove(source)
    target.insert(rng.randrange(len(target) + 1), moved)
    return etree.tostring(root)


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_saml_response: seed {seed}\n")
    rng, documents = random.Random(seed), genuine()
    truths = [read(document) for document in documents]
    if None in truths:
        sys.stdout.write("a genuine response was refused\n")
        return 1
    end, tried, accepted = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        number = rng.randrange(len(documents))
        changed = documents[number]
        for _ in range(rng.randint(1, 3)):
            changed = rng.choice([as_bytes, as_text, as_tree, as_tree])(rng, changed)
        try:
            said = read(changed)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            sys.stdout.write(f"{type(error).__name__}: {error}\n{changed!r}\n")
            return 1
        if said is not None and said != truths[number]:
            sys.stdout.write(f"something else was read: {said}\n{changed!r}\n")
            return 1
        tried, accepted = tried + 1, accepted + (said is not None)
    sys.stdout.write(f"fuzz_saml_response: {tried} responses, {accepted} still true, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
