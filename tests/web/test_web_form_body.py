"""Forms taken apart: whatever a browser sends comes out, whatever it does not is refused."""

from __future__ import annotations

import base64
import contextlib
from urllib.parse import unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.form_body import MOST_FIELDS, Field, NotAForm, glance, read_body

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=----b0undary"
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_bytes = st.binary(max_size=60).filter(lambda content: b"------b0undary" not in content)


def multipart(*parts: tuple[bytes, bytes]) -> bytes:
    """(head, content) of each part, as browsers write them."""
    return b"".join(b"------b0undary\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"------b0undary--\r\n"


def disposition(name: str, filename: str | None = None) -> bytes:
    """WHATWG HTML, multipart/form-data encoding: only these three are escaped."""

    def escaped(text: str) -> str:
        return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")

    head = f'Content-Disposition: form-data; name="{escaped(name)}"'
    if filename is not None:
        head += f'; filename="{escaped(filename)}"\r\nContent-Type: text/plain'
    return head.encode()


def test_a_plain_form() -> None:
    form = read_body(URLENCODED, b"a=1&b=%C3%A4+%2B&a=&=x&c")
    assert (form.type, form.charset) == (URLENCODED, "utf-8")
    assert form.fields == [Field("a", "1"), Field("b", "ä +"), Field("a"), Field("", "x"), Field("c")]


def test_a_form_with_a_file() -> None:
    body = multipart((disposition("note"), b"hi"), (disposition("file", 'a"b.txt'), b"\x00\xff\r\n"))
    assert read_body(MULTIPART, body).fields == [
        Field("note", "hi"),
        Field("file", filename='a"b.txt', type="text/plain", data=base64.b64encode(b"\x00\xff\r\n").decode()),
    ]


def test_an_empty_file_field() -> None:
    body = multipart((b'Content-Disposition: form-data; name="f"; filename=""\r\nContent-Type: application/x', b""))
    assert read_body(MULTIPART, body).fields == [Field("f", filename="", type="application/x")]


def test_a_form_without_fields() -> None:
    assert read_body(URLENCODED, b"").fields == []
    assert read_body(MULTIPART, b"------b0undary--\r\n").fields == []


def test_text_is_one_field_that_makes_the_same_body_again() -> None:
    body = b"a=1\r\nb=2=3\r\n"
    (field,) = read_body("text/plain; charset=utf-8", body).fields
    assert f"{field.name}={field.value}\r\n".encode() == body


def test_old_pages_have_their_own_letters() -> None:
    form = read_body(URLENCODED, b"a=%80%81%E4")
    assert form.charset == "windows-1252"
    assert form.fields == [Field("a", "€\x81ä")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a=1",
        b"------b0undary",
        b"------b0undary\r\n",
        b"------b0undary\r\n\r\nx\r\n------b0undary--",
        multipart((b"Content-Disposition: form-data", b"x")),
        multipart((b'Content-Disposition: attachment; name="a"', b"x")),
        multipart((disposition("a") + b"\r\nContent-Transfer-Encoding: base64", b"x")),
        multipart((disposition("a") + b"\r\nContent-Type: a\r\nX: y", b"x")),
        multipart((disposition("a") + b"\r\nContent-Type: \x00", b"x")),
        multipart((b"X" * 5000, b"x")),
        b"preamble\r\n" + multipart((disposition("a"), b"x")),
        multipart((disposition("a"), b"x")) + b"epilogue",
        multipart((disposition("a"), b"x"))[:-6],
    ],
)
def test_what_no_browser_sends_is_refused(body: bytes) -> None:
    with pytest.raises(NotAForm):
        read_body(MULTIPART, body)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71, ""]
)
def test_a_type_that_says_too_little_is_refused(kind: str) -> None:
    with pytest.raises(NotAForm):
        read_body(kind, multipart((disposition("a"), b"x")))


def test_the_number_of_fields_is_bounded() -> None:
    read_body(URLENCODED, b"&".join([b"a"] * MOST_FIELDS))
    with pytest.raises(NotAForm):
        read_body(URLENCODED, b"&".join([b"a"] * (MOST_FIELDS + 1)))


@pytest.mark.parametrize("body", [b"a=%", b"a=%4", b"a=%zz", b"100%=1", b"a=%%41", b"a=" + b"%" * 200_000])
def test_an_escape_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(NotAForm):
        read_body(URLENCODED, body)


_escape = st.binary(min_size=1, max_size=1).map(lambda byte: b"%%%02x" % byte[0]) | st.sampled_from([b"%4F", b"%3D"])
_literal = st.binary(min_size=1, max_size=3).filter(lambda text: not set(text) & set(b"%&+="))


@given(st.lists(_escape | _literal | st.sampled_from([b"+", b"=", b"==", b"=\n", b"=\r\n", b"=4", b" \n", b"_"])))
def test_every_escape_is_read_as_the_url_standard_reads_it(pieces: list[bytes]) -> None:
    form = read_body(URLENCODED, b"a=" + b"".join(pieces))
    charset = "cp1252" if form.charset == "windows-1252" else form.charset
    expected = unquote_to_bytes(b"".join(pieces).replace(b"+", b" "))
    if charset == "utf-8" or not set(expected) & set(b"\x81\x8d\x8f\x90\x9d"):
        assert form.fields[0].value == expected.decode(charset)


@given(st.lists(st.tuples(_text, _text), max_size=8))
def test_every_plain_form_comes_back(fields: list[tuple[str, str]]) -> None:
    read = read_body(URLENCODED, urlencode(fields).encode())
    assert [(each.name, each.value) for each in read.fields] == fields


_plain = _text.filter(lambda text: "%" not in text)


@given(st.lists(st.tuples(_plain, st.none() | _plain, _bytes), max_size=8))
def test_every_multipart_form_comes_back(fields: list[tuple[str, str | None, bytes]]) -> None:
    form = read_body(MULTIPART, multipart(*((disposition(name, file), content) for name, file, content in fields)))
    assert len(form.fields) == len(fields)
    for read, (name, filename, content) in zip(form.fields, fields, strict=True):
        if filename is not None:
            assert base64.b64decode(read.data) == content
        if form.charset == "utf-8":
            assert (read.name, read.filename) == (name, filename)
        if form.charset == "utf-8" and filename is None:
            assert read.value.encode() == content


@given(
    st.sampled_from([URLENCODED, MULTIPART, "text/plain", "multipart/form-data; boundary=a"]), st.binary(max_size=300)
)
def test_anything_is_a_form_or_refused_and_never_fails(kind: str, body: bytes) -> None:
    with contextlib.suppress(NotAForm):
        read_body(kind, body)
        glance(kind, body)
