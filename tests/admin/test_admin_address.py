"""The admin address over a real socket: alive, ready, counts; and what a browser of somebody else gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web

from proxy.admin import make_admin
from proxy.telemetry.exposition import exposition
from proxy.telemetry.metrics import Metrics

OURS = (
    "127.0.0.1",
    "127.0.0.1:9901",
    "10.0.0.7:9901",
    "[::1]:9901",
    "[::1]",
    "localhost",
    "LOCALHOST:9901",
    "localhost.",
    "ops.example.com",
    "OPS.example.com:9901",
)
FOREIGN = (
    "evil.example",
    "evil.example:9901",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "ops.example.com.evil.example",
    "[::1].evil.example",
    "[::1]evil",
    "127.0.0.1@evil.example",
    "127.0.0.1:9901:evil",
    "",
    "2130706433x",
    "[evil.example]",
)


class Proxy:
    """What the admin address is told about the proxy."""

    def __init__(self) -> None:
        self.ready: tuple[bool, dict[str, str]] | Exception = (True, {"store": "ok"})
        self.metrics = Metrics(["grafana"])
        self.broken = False

    def is_ready(self) -> tuple[bool, dict[str, str]]:
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready

    async def counts(self) -> bytes:
        if self.broken:
            raise RuntimeError("a worker does not answer")
        return exposition(self.metrics.snapshot())


def fields_of(lines: list[str]) -> dict[str, str]:
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class Client:
    """Sends bytes, reads one answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, raw: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(raw)
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        return int(status.split()[1]), fields_of(fields), body

    async def get(
        self, path: str, host: str = "127.0.0.1:9901", method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        return await self.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    runner = web.AppRunner(make_admin(proxy.is_ready, proxy.counts, hosts=["Ops.Example.com"]))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Client(runner.addresses[0][1])
    await runner.cleanup()


async def test_alive(client: Client) -> None:
    status, headers, body = await client.get("/healthz")
    assert (status, msgspec.json.decode(body)) == (200, {"status": "ok"})
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["server"] == "ostiary"


async def test_ready_with_what_it_takes(client: Client) -> None:
    status, _, body = await client.get("/readyz")
    assert (status, msgspec.json.decode(body)) == (200, {"ready": True, "checks": {"store": "ok"}})


async def test_not_ready_says_what_is_missing(client: Client, proxy: Proxy) -> None:
    proxy.ready = (False, {"store": "locked", "keys": "ok"})
    status, _, body = await client.get("/readyz")
    assert (status, msgspec.json.decode(body)["checks"]) == (503, {"store": "locked", "keys": "ok"})


async def test_a_readiness_check_that_breaks_is_not_readiness(
    client: Client, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.ready = RuntimeError("boom")
    status, _, body = await client.get("/readyz")
    assert (status, msgspec.json.decode(body)["ready"]) == (503, False)
    assert b"boom" not in body
    assert "boom" in caplog.text


async def test_metrics_for_prometheus(client: Client, proxy: Proxy) -> None:
    proxy.metrics.observe("grafana", "allow", 200, 0.1, 5)
    status, headers, body = await client.get("/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'ostiary_requests_total{outcome="allow",route="grafana",status="2xx"} 1.0\n' in body


async def test_metrics_that_cannot_be_gathered_are_a_failed_scrape(client: Client, proxy: Proxy) -> None:
    proxy.broken = True
    assert (await client.get("/metrics"))[0] == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_answered_without_a_body(client: Client, path: str) -> None:
    status, _, body = await client.get(path, method="HEAD")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_nothing_but_get_and_head(client: Client, method: str) -> None:
    status, headers, _ = await client.get("/metrics", method=method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/../metrics", "//metrics", "/debug"])
async def test_nothing_else_is_there(client: Client, path: str) -> None:
    status, headers, body = await client.get(path)
    assert status == 404
    assert msgspec.json.decode(body) == {"error": "there is /healthz, /readyz and /metrics"}
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", OURS)
async def test_it_answers_under_addresses_localhost_and_configured_names(client: Client, host: str) -> None:
    assert (await client.get("/healthz", host=host))[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/none"])
async def test_a_name_bound_to_us_by_somebody_else_is_refused(client: Client, host: str, path: str) -> None:
    status, _, body = await client.get(path, host=host)
    assert status in {400, 421}
    assert b"ostiary_" not in body


async def test_a_request_without_or_with_two_hosts_is_refused(client: Client) -> None:
    assert (await client.send(b"GET /metrics HTTP/1.0\r\n\r\n"))[0] in {400, 421}
    two = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert (await client.send(two))[0] in {400, 421}
