"""Names only we may use, in every spelling; whose address a trusted proxy reports; the opening of a WebSocket."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.fields import HOP_BY_HOP, MANAGED, MANAGED_PREFIXES, Field, is_managed, request_field, response_field
from proxy.wire.forwarded import client_address, networks
from proxy.wire.websocket import accept_for, opening_mistake

_OURS = [*MANAGED, *(prefix + b"any" for prefix in MANAGED_PREFIXES)]


@st.composite
def spelled(draw: st.DrawFn, names: list[bytes]) -> bytes:
    """One of the names as some server would still understand it."""
    name = draw(st.sampled_from(names)).decode()
    letters = (draw(st.sampled_from([c.lower(), c.upper()] if c != "-" else ["-", "_", "."])) for c in name)
    return "".join(letters).encode()


@given(spelled(_OURS))
def test_no_spelling_of_a_managed_name_passes(name: bytes) -> None:
    assert is_managed(name)
    assert request_field(name) in (Field.DROP, Field.FORWARDED_FOR)  # X-Forwarded-For is read, and never passed on


@given(spelled(sorted(HOP_BY_HOP)))
def test_no_spelling_of_a_hop_by_hop_name_passes(name: bytes) -> None:
    assert request_field(name) is not Field.PASS
    if b"_" not in name and b"." not in name:
        assert response_field(name) is not Field.PASS


@given(spelled([b"host", b"content-length", b"transfer-encoding", b"cookie", b"expect", b"connection"]))
def test_no_spelling_of_framing_passes_unread(name: bytes) -> None:
    assert request_field(name) is not Field.PASS


@given(st.from_regex(rb"[a-z0-9-]{1,20}", fullmatch=True))
def test_other_names_pass(name: bytes) -> None:
    known = is_managed(name) or name in HOP_BY_HOP or request_field(name) is not Field.PASS
    folded = re.sub(rb"[_.]", b"-", name)
    assert known or folded not in MANAGED


TRUSTED = networks(["10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("203.0.113.9", b"", "203.0.113.9"),
        ("203.0.113.9", b"198.51.100.7", "203.0.113.9"),  # a stranger's word
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", b"1.1.1.1, 198.51.100.7", "198.51.100.7"),  # what the client said itself is on the left
        ("10.0.0.1", b"1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", b"10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ("10.0.0.1", b"198.51.100.7, unknown", "10.0.0.1"),  # what cannot be read ends the walk
        ("10.0.0.1", b"198.51.100.7,", "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.7:443", "10.0.0.1"),
        ("10.0.0.1", b"[2001:db8::1], 10.0.0.2", "2001:db8::1"),
        ("10.0.0.1", b"::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", b"198.51.100.7", "198.51.100.7"),
        ("2001:db8::9", b"2001:DB9:0::1", "2001:db9::1"),
        ("10.0.0.1", b"198.51.100.7, 010.0.0.2", "10.0.0.1"),
        ("10.0.0.1", b"fe80::1%eth0; x=y", "10.0.0.1"),  # a zone can be any text
        ("10.0.0.1", b"\xb2.1.1.1", "10.0.0.1"),
    ],
)
def test_whose_address(peer: str, header: bytes, expected: str) -> None:
    assert client_address(peer, header, TRUSTED) == expected


@given(st.binary(max_size=60))
def test_the_address_is_always_an_address(header: bytes) -> None:
    assert re.fullmatch(r"[0-9a-f.:]+", client_address("10.0.0.1", header, TRUSTED))


def test_nobody_is_trusted_by_default() -> None:
    assert client_address("10.0.0.1", b"198.51.100.7", ()) == "10.0.0.1"


def test_accept_as_in_the_rfc() -> None:
    assert accept_for(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


@pytest.mark.parametrize(
    ("method", "key", "version", "length"),
    [
        ("POST", b"dGhlIHNhbXBsZSBub25jZQ==", b"13", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==", b"13", 1),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==", b"13", -1),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==", b"8", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==", b"13, 8", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==", None, 0),
        ("GET", None, b"13", 0),
        ("GET", b"", b"13", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ", b"13", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ= ", b"13", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZ\xff==", b"13", 0),
        ("GET", b"dGhl-HNhbXBsZSBub25jZQ==", b"13", 0),
        ("GET", b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==", b"13", 0),
        ("GET", b"AAAAAAAAAAAAAAAAAAAAAAAA", b"13", 0),  # 18 bytes
    ],
)
def test_openings_that_are_none(method: str, key: bytes | None, version: bytes | None, length: int) -> None:
    assert opening_mistake(method, key, version, length)


@given(st.binary(min_size=16, max_size=16))
def test_every_key_of_16_bytes(nonce: bytes) -> None:
    assert opening_mistake("GET", base64.b64encode(nonce), b"13", 0) == ""
