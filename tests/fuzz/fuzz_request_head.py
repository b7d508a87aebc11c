"""Fuzzer of request heads: `python tests/fuzz/fuzz_request_head.py [seconds] [seed]`. Exit 1 on a finding.

The oracle is llhttp: a head that ours accepts, with its host and target, llhttp must accept too, and see the same
method, target, fields and end of the body in it. What passes on must survive being read again, and be without a byte
that could end a line.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from llhttp_reading import read_request

from proxy.wire.host import HostRefused
from proxy.wire.host import parse as parse_host
from proxy.wire.lines import CHUNKED, Malformed
from proxy.wire.path import PathRefused, absolute, canonical
from proxy.wire.request import RequestHead, parse_request_head

METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"]
TARGETS = [b"/", b"/a?b", b"*", b"http://app.test/", b"/#", b"/a b", b"/%2e", b"//", b"/\x80", b"/a\x00"]
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "]
NAMES = b"Host Content-Length Transfer-Encoding Connection Upgrade Expect Accept Cookie TE X-A content_length".split()
VALUES = (
    b"app.test 5 0 05 +5 5,5 chunked CHUNKED gzip,chunked identity close upgrade h2c websocket x-a 100-continue".split()
)
SPICE = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\x0b",
    b"\x0c",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\xa0",
    b"\x85",
    b"\xff",
    b"\x7f",
]


def one(rng: random.Random) -> bytes:
    """A head put together from what matters, sometimes mutated."""
    lines = [b" ".join((rng.choice(METHODS), rng.choice(TARGETS[: rng.choice((1, 2, 10))]), rng.choice(VERSIONS)))]
    if rng.random() < 0.9:
        lines.append(b"Host: app.test")
    lines += [
        rng.choice(NAMES) + rng.choice((b": ", b":", b":\t ")) + rng.choice(VALUES) for _ in range(rng.randrange(4))
    ]
    data = bytearray(b"\r\n".join(lines))
    while rng.random() < 0.4:
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(2)] = rng.choice(SPICE) if rng.random() < 0.8 else bytes((rng.randrange(256),))
    return bytes(data)


def accepted(data: bytes) -> RequestHead | None:
    """The head, when everything that reads it accepts it."""
    try:
        head = parse_request_head(data)
        parse_host(head.fields.host)
        full = absolute(head.target)
        canonical(full.origin if full is not None else head.target)
    except (Malformed, HostRefused, PathRefused):
        return None
    return head if full is None or full.authority.lower() == head.fields.host.lower() else None


def problem(data: bytes) -> str | None:
    """What is wrong with the answer, or None."""
    head = accepted(data)
    if head is None or b"\r\n\r\n" in data or head.method.encode() not in METHODS:
        return None
    length = head.fields.length
    if length > 1000 or switches(head):
        return None
    body = b"5\r\nhello\r\n0\r\n\r\n" if length == CHUNKED else b"x" * length
    reading = read_request(data + b"\r\n\r\n" + body)
    if reading is None:
        return "accepted here, refused by llhttp"
    if reading.first != (head.method.encode(), head.target, b"1.0" if head.old else b"1.1"):
        return f"another request line: {reading.first}"
    if not reading.whole or reading.body != (b"hello" if length == CHUNKED else body):
        return "another end of the body"
    theirs = [name + b": " + value for name, value in reading.fields]
    ours = [line.partition(b":")[0].lower() + b":" + line.partition(b":")[2] for line in head.fields.lines]
    if [line for line in theirs if line in ours] != ours:
        return f"other fields: {theirs}"
    return passes_badly(head)


def switches(head: RequestHead) -> bool:
    """llhttp stops at an upgrade and leaves the body to its caller; here the gateway refuses one with a body."""
    return bool(head.fields.upgrade) and b"upgrade" in (head.fields.connection or ())


def passes_badly(head: RequestHead) -> str | None:
    """What passes on must read the same again, and hold nothing that ends a line."""
    if any(byte in line for line in head.fields.lines for byte in (b"\r", b"\n", b"\x00")):
        return "a line end passes"
    again = parse_request_head(b"\r\n".join((b"GET / HTTP/1.1", b"Host: a", *head.fields.lines)))
    return None if again.fields.lines == head.fields.lines else "what passes is read differently"


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_request_head: seed {seed}\n")
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    tried = good = 0
    while time.monotonic() < end:
        for _ in range(1000):
            data = one(rng)
            if found := problem(data):
                sys.stdout.write(f"{found}: {data!r}\n")
                return 1
            good += accepted(data) is not None
        tried += 1000
    sys.stdout.write(f"fuzz_request_head: {tried} heads, {good} accepted, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
