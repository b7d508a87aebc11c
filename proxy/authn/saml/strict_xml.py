"""XML that others wrote, read so that no two readers can disagree about it. No I/O.

Before the parser sees a byte: UTF-8 only, a size limit, nothing that begins with `<!` (DOCTYPE and with it every
entity, comments, CDATA) and no processing instruction. What is left has one meaning: no text is split by a comment, no
name stands for something else, and the parser allocates in proportion to what it reads.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from lxml import etree

from proxy.authn.errors import CallbackInvalid

MAX_BYTES: Final = 256 * 1024  # of a message; one with a thousand groups has about 100 KiB
MAX_ELEMENTS: Final = 10_000
MAX_DEPTH: Final = 40
MAX_NAMESPACES: Final = 64  # in scope at one element: canonicalising costs their product with the elements
MAX_ATTRIBUTES: Final = 64

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"

Element = etree._Element  # lxml's only name for the type

_DECLARATION = re.compile(rb"\s*<\?xml\s[^<>?]*\?>")
_ENCODING = re.compile(rb"\bencoding\s*=\s*[\"']([^\"']*)[\"']")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")
_IN_COMMENT = re.compile(rb"<!--(?:(?!--).)*-->", re.DOTALL)


class XmlRefused(CallbackInvalid):
    """A document that no honest program sends, or that we do not read."""


def parser() -> etree.XMLParser:
    """A parser that loads nothing and expands nothing; also what `signxml` is given to work with."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        remove_comments=False,
        remove_pis=False,
        strip_cdata=False,
        encoding="utf-8",
    )


def parse(data: bytes, limit: int = MAX_BYTES, elements: int = MAX_ELEMENTS) -> Element:
    """The root of a document of at most `limit` bytes and so many elements.

    Raises `XmlRefused` with what is wrong, without quoting it.
    """
    return _parsed(_plain(data, limit), elements)


def parse_lenient(data: bytes, limit: int, elements: int) -> Element:
    """As `parse`, for documents an administrator chose (metadata): comments are cut out before anything is read.

    Canonicalisation leaves comments out too, so a signature still fits. Raises `XmlRefused`.
    """
    if len(data) > limit:
        raise XmlRefused(f"the document is larger than {limit} bytes")
    return _parsed(_plain(_IN_COMMENT.sub(b"", data), limit), elements)


def _plain(data: bytes, limit: int) -> bytes:
    """The document without its XML declaration, after every check that needs no parser."""
    if len(data) > limit:
        raise XmlRefused(f"the document is larger than {limit} bytes")
    declaration = _DECLARATION.match(data)
    if declaration:
        encoding = _ENCODING.search(declaration.group())
        if encoding and encoding.group(1).lower() not in (b"utf-8", b"us-ascii"):
            raise XmlRefused("the document is not encoded in UTF-8")
        data = data[declaration.end() :]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise XmlRefused("the document is not encoded in UTF-8") from None
    if "\0" in text or text.startswith("\ufeff"):
        raise XmlRefused("the document begins with a byte order mark or holds NUL")
    if "<!" in text:
        raise XmlRefused("the document holds a DOCTYPE, a comment or CDATA")
    if "<?" in text:
        raise XmlRefused("the document holds a processing instruction")
    return data


def _parsed(data: bytes, elements: int) -> Element:
    if data.count(b"<") > 2 * elements:  # each element has one or two
        raise XmlRefused(f"the document has more than {elements} elements")
    try:
        root = etree.fromstring(data, parser())
    except (etree.XMLSyntaxError, ValueError):
        raise XmlRefused("the document is not well-formed XML") from None  # the parser's words may quote it
    _bounded(root, elements)
    return root


def _bounded(root: Element, elements: int) -> None:
    count = depth = namespaces = 0
    for event, node in etree.iterwalk(root, events=("start", "end", "comment", "pi", "start-ns", "end-ns")):
        if event == "end":
            depth -= 1
        elif event == "end-ns":
            namespaces -= 1
        elif event == "start-ns":
            namespaces += 1
            if namespaces > MAX_NAMESPACES:
                raise XmlRefused("the document has too many namespaces")
        elif event != "start" or not isinstance(node, Element):
            raise XmlRefused("the document holds something besides elements and text")
        else:
            count, depth = count + 1, depth + 1
            if depth > MAX_DEPTH or count > elements:
                raise XmlRefused(f"the document has more than {elements} elements, or more than {MAX_DEPTH} levels")
            if len(node.attrib) > MAX_ATTRIBUTES:
                raise XmlRefused("an element has too many attributes")


def decode_base64(text: str, limit: int = MAX_BYTES) -> bytes:
    """Base64 with line breaks, as forms and XML carry it, of at most `limit` bytes. Raises `XmlRefused`."""
    if len(text) > limit * 3 // 2 + 64:  # four thirds, and line breaks
        raise XmlRefused(f"the message is larger than {limit} bytes")
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise XmlRefused("the message is not base64") from None


def tag(namespace: str, name: str) -> str:
    """lxml's spelling of a qualified name."""
    return f"{{{namespace}}}{name}"


def local_name(element: Element) -> str:
    """The name without its namespace."""
    return str(etree.QName(element).localname)


def children(element: Element, namespace: str, name: str) -> list[Element]:
    """Direct children of that name."""
    return element.findall(tag(namespace, name))


def only_child(element: Element, namespace: str, name: str) -> Element:
    """The one direct child of that name. Raises `XmlRefused` when there is none, or several."""
    found = children(element, namespace, name)
    if len(found) != 1:
        raise XmlRefused(f"{local_name(element)} must have exactly one {name}, it has {len(found)}")
    return found[0]


def text_of(element: Element) -> str:
    """The text of an element that may hold nothing else, without surrounding blanks. Raises `XmlRefused`."""
    if len(element):
        raise XmlRefused(f"{local_name(element)} must hold text only")
    return (element.text or "").strip(" \t\r\n")


def id_of(element: Element) -> str:
    """The `ID` attribute, which must be a plain XML name. Raises `XmlRefused`."""
    value = str(element.get("ID", ""))
    if not _ID.fullmatch(value):
        raise XmlRefused(f"{local_name(element)} has no usable ID")
    return value


def is_id(value: str) -> bool:
    """Whether a text may be the ID of a message: xs:ID, narrowed to ASCII."""
    return _ID.fullmatch(value) is not None


def check_unique_ids(*roots: Element) -> None:
    """Refuse documents in which two elements have the same ID, in one or in two of them, however it is spelled."""
    seen: set[str] = set()
    for value in chain.from_iterable(map(_ids, roots)):
        if value in seen:
            raise XmlRefused("two elements have the same ID")
        seen.add(value)


def _ids(root: Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if str(name).rpartition("}")[2].lower() == "id":
                yield str(value)


def to_bytes(element: Element) -> bytes:
    """The element as a document of its own, with the namespaces it inherited."""
    return etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
