"""The requests everybody is measured with, and the wrk scripts made from them.

wrk counts redirects as successes and does not look at bodies. So each request is first made once by `verify`, which
does look, and after every run the bytes wrk read must fit that answer's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024
PAGE_BYTES = 8 * 1024
DOWNLOAD_BYTES = 20 * MEBIBYTE
UPLOAD = b"0123456789abcdef" * 65536

# With Host and Cookie: 17 request headers, as Chromium sends them on opening a page.
BROWSER: dict[str, str] = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Priority": "u=0, i",
    "Referer": "https://grafana.corp.example.com/d/abcdef/overview?orgId=1",
    "Sec-Ch-Ua": '"Chromium";v="130", "Not?A_Brand";v="99"',
    "Sec-Ch-Ua-Mobile": "?0",
    "Sec-Ch-Ua-Platform": '"Linux"',
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
    ),
}


@dataclass(frozen=True)
class Shape:
    """One kind of request. `connections` is how many wrk keeps busy; `body` is what the upstream answers with."""

    name: str
    title: str
    path: str
    connections: int = 32
    browser: bool = False
    upload: bool = False
    body_length: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """Beyond Host and Cookie."""
        return BROWSER if self.browser else {}


TINY = Shape("tiny", "tiny GET", "/tiny", body_length=3)
PAGE = Shape("page", "browser-shaped GET", "/page", browser=True, body_length=PAGE_BYTES)
POST = Shape("upload", "1 MB POST", "/upload", connections=8, upload=True, body_length=len("received 1048576\n"))
DOWNLOAD = Shape("download", "20 MB download", "/download", connections=4, body_length=DOWNLOAD_BYTES)
SHAPES: tuple[Shape, ...] = (TINY, PAGE, POST, DOWNLOAD)

_REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("FIGURES requests=%d microseconds=%d bytes=%d status=%d socket=%d timeout=%d\\n",
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout))
end
"""


@dataclass(frozen=True)
class Run:
    """What wrk says about one run. `bad` counts status codes above 399, broken connections and time-outs."""

    requests: int
    seconds: float
    bytes_read: int
    bad: int


def page_body() -> bytes:
    """8 KiB of something a page could be."""
    line = b"<p>The doorkeeper asks who you are, and then you may pass.</p>\n"
    return (line * (PAGE_BYTES // len(line) + 1))[:PAGE_BYTES]


def download_body() -> bytes:
    """20 MiB in which every KiB differs, so that a lost or swapped block changes the checksum."""
    return b"".join(b"%08d" % block * 128 for block in range(DOWNLOAD_BYTES // 1024))


def write_script(shape: Shape, authority: str, cookie: str, folder: Path) -> Path:
    """The wrk script of a shape for one target's Host and cookie."""
    lines = [f'wrk.headers["{name}"] = {_quoted(value)}' for name, value in shape.headers.items()]
    lines.append(f'wrk.headers["Host"] = {_quoted(authority)}')
    lines.append(f'wrk.headers["Cookie"] = {_quoted(cookie)}')
    if shape.upload:
        lines.append('wrk.method = "POST"')
        lines.append('wrk.headers["Content-Type"] = "application/octet-stream"')
        lines.append('wrk.body = string.rep("0123456789abcdef", 65536)')
    script = folder / f"{shape.name}-{abs(hash((authority, cookie)))}.lua"
    script.write_text("\n".join(lines) + _REPORT)
    return script


def parse_run(output: str) -> Run:
    """Read the line our script makes wrk print. Raises ValueError when it is missing."""
    found = re.search(r"^FIGURES (.*)$", output, re.MULTILINE)
    if found is None:
        raise ValueError(f"wrk printed no figures:\n{output[-1000:]}")
    figures = {name: int(value) for name, value in (pair.split("=") for pair in found[1].split())}
    bad = figures["status"] + figures["socket"] + figures["timeout"]
    return Run(figures["requests"], figures["microseconds"] / 1e6, figures["bytes"], bad)


def mismatch(run: Run, response_bytes: int, connections: int) -> str | None:
    """Why this run is not `run.requests` answers of `response_bytes` each, or None when it is.

    The answers still under way when wrk stopped were read in part; a hundredth is left for fields of varying length.
    """
    if run.requests == 0:
        return "nothing was answered"
    if run.bad:
        return f"{run.bad} of {run.requests} requests failed"
    expected = run.requests * response_bytes
    slack = connections * response_bytes + expected // 100
    if not expected - slack <= run.bytes_read <= expected + slack:
        return f"{run.requests} answers of {response_bytes} bytes make {expected} bytes, but {run.bytes_read} were read"
    return None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
