"""Requests to our own pages that are wrong as HTTP: an answer of ours or a closed door, and no traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from urllib.parse import urlsplit

import pytest
from web_stage import LOGIN, WIKI, Browser, Stage, login_url, staged

from proxy.web.endpoints import backchannel

FORM = "application/x-www-form-urlencoded"
HOST = urlsplit(LOGIN).netloc


async def raw(stage: Stage, data: bytes, *, hang_up: bool = False) -> bytes:
    """All that comes back for these bytes, on the socket that only the gateway reaches."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.ports["control"])
    writer.write(data)
    if hang_up:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def post(body: bytes, *fields: str) -> bytes:
    head = [f"POST {backchannel('corp')} HTTP/1.1", f"Host: {HOST}", f"Content-Type: {FORM}", "Connection: close"]
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (("Transfer-Encoding: chunked",), b"e\r\nlogout_token=x\r\nzz\r\n0\r\n\r\n"),
        (("Content-Encoding: gzip", "Content-Length: 14"), b"logout_token=x"),
        (("Content-Encoding: deflate", "Content-Length: 14"), b"logout_token=x"),
        (("Content-Encoding: br", "Content-Length: 14"), b"logout_token=x"),
    ],
    ids=str,
)
async def test_a_body_that_cannot_be_read_is_400_and_one_line_at_most(
    fields: tuple[str, ...], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with staged() as stage:
        answer = await raw(stage, post(body, *fields))

        assert answer.split(b" ")[1] == b"400", answer
        assert b"Traceback" not in answer
        assert not [line for line in caplog.records if line.exc_info or line.levelno >= logging.ERROR]


@pytest.mark.parametrize("field", ["Transfer-Encoding: chunked", "Content-Length: 100"])
async def test_who_hangs_up_in_the_middle_leaves_no_traceback(field: str, caplog: pytest.LogCaptureFixture) -> None:
    async with staged() as stage:
        await raw(stage, post(b"5\r\nlogou", field), hang_up=True)

        assert not [line for line in caplog.records if line.exc_info or line.levelno >= logging.ERROR]


async def test_a_packed_body_is_not_unpacked() -> None:
    async with staged() as stage:
        bomb = gzip.compress(b"logout_token=" + b"a" * 60_000)

        answer = await raw(stage, post(bomb, "Content-Encoding: gzip", f"Content-Length: {len(bomb)}"))

        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error_description"] == "send one logout_token as a form"


async def test_no_page_says_which_program_it_was() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        for url in (LOGIN + "/", login_url("/"), f"{WIKI}/.ostiary/whoami", f"{WIKI}/.ostiary/none", f"{LOGIN}/x"):
            answer = await browser.fetch(url)
            assert "Server" not in answer.headers
            assert "aiohttp" not in str(answer.headers) + answer.text
        answer = await browser.fetch(f"{WIKI}/.ostiary/whoami", "DELETE")
        assert (answer.status, answer.headers.get("Server")) == (405, None)


async def test_a_head_that_cannot_be_read_is_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with staged() as stage:
        answer = await raw(stage, f"GET / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: x\r\n\r\n".encode())

        assert answer.split(b" ")[1] == b"400", "aiohttp's own words: the gateway lets nothing of this kind through"
        assert not [line for line in caplog.records if line.exc_info or line.levelno >= logging.ERROR]
