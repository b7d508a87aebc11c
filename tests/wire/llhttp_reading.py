"""llhttp (through httptools) as a second opinion: the parser of Node.js, with none of its leniencies switched on."""

from __future__ import annotations

from typing import NamedTuple

import httptools


class Reading(NamedTuple):
    """What llhttp made of one message. `whole` is False when it waits for more."""

    first: tuple[bytes, ...]  # (method, target, version) or (status, version)
    fields: list[tuple[bytes, bytes]]  # lower-case names
    body: bytes
    whole: bool


class _Listener:
    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.messages = 0
        self.heads = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if not self.heads:  # not a trailer
            self.fields.append((name.lower(), (value or b"").rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.messages += 1


def read_request(data: bytes) -> Reading | None:
    """The one request that `data` is the beginning of, or all of; None when llhttp refuses it."""
    listener = _Listener()
    parser = httptools.HttpRequestParser(listener)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    if not listener.heads:
        return Reading((), [], b"", False)
    first = (parser.get_method(), listener.url, parser.get_http_version().encode())
    return Reading(first, listener.fields, listener.body, listener.messages == 1)


def read_response(data: bytes) -> Reading | None:
    """The one response that `data` is the beginning of, or all of; None when llhttp refuses it."""
    listener = _Listener()
    parser = httptools.HttpResponseParser(listener)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return None
    if not listener.heads:
        return Reading((), [], b"", False)
    first = (b"%d" % parser.get_status_code(), parser.get_http_version().encode())
    return Reading(first, listener.fields, listener.body, listener.messages == 1)
