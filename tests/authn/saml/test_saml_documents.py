"""Documents made to hurt their reader: refused by their form, in bounded time and memory."""

from __future__ import annotations

import base64
import resource
import subprocess
import sys

import pytest

from proxy.authn.saml import strict_xml
from proxy.authn.saml.strict_xml import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, XmlRefused, decode_base64, parse

LAUGHS = "<!DOCTYPE x [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)
BOMBS = {
    "billion laughs": f"{LAUGHS}]><x>&j;</x>",
    "billion laughs in an attribute": f"{LAUGHS}]><x y='&j;'/>",
    "quadratic": f"<!DOCTYPE x [<!ENTITY a '{'a' * 50_000}'>]><x>{'&a;' * 50_000}</x>",
    "a file": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
    "a device": "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///dev/zero'>]><x>&a;</x>",
    "an address": "<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'><x/>",
    "a parameter entity": "<!DOCTYPE x [<!ENTITY % a SYSTEM 'file:///dev/zero'> %a;]><x/>",
    "attribute defaults": "<!DOCTYPE x [<!ATTLIST x ID CDATA 'default'>]><x/>",
    "a stylesheet": "<?xml-stylesheet href='http://127.0.0.1:1/x.xsl' type='text/xsl'?><x/>",
    "depth": "<x>" * 100_000,
    "depth, closed": "<x>" * 5000 + "</x>" * 5000,
    "elements": "<x>" + "<y/>" * 60_000 + "</x>",
    "namespaces": "<x " + " ".join(f"xmlns:n{n}='u{n}'" for n in range(10_000)) + "/>",
    "namespaces, nested": "".join(f"<x xmlns:n{n}='u{n}'>" for n in range(39)) * 1 + "</x>" * 39,
    "attributes": "<x " + " ".join(f"a{n}=''" for n in range(15_000)) + "/>",
    "text": f"<x>{'a' * (MAX_BYTES - 6)}</x>",
    "names": f"<{'a' * 200_000}/>",
    "an attribute": f"<x y='{'a' * 200_000}'/>",
    "references": f"<x>{'&#97;' * 50_000}</x>",
}
READ = """
import resource, sys
from proxy.authn.saml.strict_xml import XmlRefused, parse, check_unique_ids, to_bytes
parse(b"<x/>")
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 64 * 1024 * 1024,) * 2)
try:
    root = parse(sys.stdin.buffer.read())
    check_unique_ids(root), to_bytes(root)
except XmlRefused as error:
    print("refused:", error)
else:
    print("read")
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(name: str) -> None:
    """In a process that may use 64 MiB and 5 s of CPU more than it begins with."""
    done = subprocess.run([sys.executable, "-c", READ], input=BOMBS[name].encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    assert done.stdout.decode().startswith(("refused:", "read"))
    harmless = {"namespaces, nested", "text", "names", "an attribute", "references"}
    assert done.stdout.startswith(b"refused:") or name in harmless


def test_the_limits_of_this_test_bite() -> None:
    """Or the test above proves nothing."""
    assert resource.RLIMIT_AS
    eager = READ.replace("root = parse(sys.stdin.buffer.read())", "root = parse(b'<x/>'); _ = bytes(1 << 30)")
    done = subprocess.run([sys.executable, "-c", eager], input=b"", capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


REFUSED = {
    "nothing": b"",
    "no XML": b"hello",
    "two roots": b"<x/><y/>",
    "text after": b"<x/>y",
    "not closed": b"<x>",
    "UTF-16": "<x/>".encode("utf-16"),
    "UTF-16 by declaration": b"<?xml version='1.0' encoding='UTF-16'?><x/>",
    "UTF-7": b"<?xml version='1.0' encoding='UTF-7'?><x>+ADw-y/+AD4-</x>",
    "EBCDIC": b"<?xml version='1.0' encoding='IBM037'?><x/>",
    "Latin-1": b"<?xml version='1.0' encoding='ISO-8859-1'?><x>\xe9</x>",
    "bytes that are no UTF-8": b"<x>\xff</x>",
    "an overlong form": b"<x>\xc0\xbc</x>",
    "a surrogate": b"<x>\xed\xa0\x80</x>",
    "byte order mark": b"\xef\xbb\xbf<x/>",
    "NUL": b"<x>\x00</x>",
    "NUL by reference": b"<x>&#0;</x>",
    "a control character": b"<x>\x01</x>",
    "DOCTYPE": b"<!DOCTYPE x><x/>",
    "doctype in lower case": b"<!doctype x><x/>",
    "a comment before": b"<!-- --><x/>",
    "a comment after": b"<x/><!-- -->",
    "a comment inside": b"<x>a<!-- -->b</x>",
    "CDATA": b"<x><![CDATA[a]]></x>",
    "a processing instruction": b"<x><?y z?></x>",
    "a second declaration": b"<?xml version='1.0'?><?xml version='1.0'?><x/>",
    "an entity nobody declared": b"<x>&y;</x>",
    "a namespace nobody declared": b"<y:x/>",
    "an attribute twice": b"<x y='1' y='2'/>",
    "an attribute twice by namespace": b"<x xmlns:a='u' xmlns:b='u' a:y='1' b:y='2'/>",
    "too deep": b"<x>" * (MAX_DEPTH + 1) + b"</x>" * (MAX_DEPTH + 1),
    "too many": b"<x>" + b"<y/>" * MAX_ELEMENTS + b"</x>",
    "too large": b"<x>" + b" " * MAX_BYTES + b"</x>",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_document_that_is_refused(name: str) -> None:
    with pytest.raises(XmlRefused):
        parse(REFUSED[name])


@pytest.mark.parametrize(
    "document",
    [b"<x/>", b"<?xml version='1.0'?><x/>", b'\n<?xml version="1.0" encoding="utf-8"?>\n<x/>', "<x>é</x>".encode()],
)
def test_a_document_that_is_read(document: bytes) -> None:
    assert parse(document).tag == "x"


def test_a_limit_holds_before_anything_is_decoded() -> None:
    with pytest.raises(XmlRefused, match="larger"):
        decode_base64("A" * (2 * MAX_BYTES))
    assert decode_base64(base64.b64encode(bytes(1000)).decode()) == bytes(1000)


def test_a_reason_does_not_quote_the_document() -> None:
    with pytest.raises(XmlRefused) as refusal:
        parse(b"<secret-alice>")
    assert "alice" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("spelling", ["ID", "Id", "id", "xml:id", "iD"])
def test_ids_are_told_apart_however_they_are_spelled(spelling: str) -> None:
    with pytest.raises(XmlRefused, match="same ID"):
        strict_xml.check_unique_ids(parse(f'<x ID="a"><y {spelling}="a"/></x>'.encode()))
