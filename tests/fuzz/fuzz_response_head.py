"""Fuzzer of response heads: `python tests/fuzz/fuzz_response_head.py [seconds] [seed]`. Exit 1 on a finding.

The oracle is llhttp: a head that ours accepts, llhttp must accept too, and see the same status, fields and end of the
body in it.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from llhttp_reading import read_response

from proxy.wire.lines import CHUNKED, UNTIL_CLOSE, Malformed
from proxy.wire.response import ResponseHead, parse_response_head

FIRST = [b"HTTP/1.1 200 OK"] * 5 + [b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 Not", b"HTTP/1.1 404"]
NAMES = b"Content-Length Transfer-Encoding Connection Upgrade Set-Cookie Server Keep-Alive Date X-A Trailer".split()
VALUES = b"5 0 05 +5 5,5 chunked CHUNKED gzip,chunked identity close upgrade websocket a=b x-a".split()
SPICE = [b"\r\n", b"\n", b"\r", b"\x00", b"\x0b", b"\x0c", b" ", b"\t", b":", b",", b"\xa0", b"\x85", b"\xff", b"\x7f"]


def one(rng: random.Random) -> bytes:
    """A head put together from what matters, sometimes mutated."""
    lines = [rng.choice(FIRST)]
    lines += [
        rng.choice(NAMES) + rng.choice((b": ", b":", b":\t ")) + rng.choice(VALUES) for _ in range(rng.randrange(4))
    ]
    data = bytearray(b"\r\n".join(lines))
    while rng.random() < 0.4:
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(2)] = rng.choice(SPICE) if rng.random() < 0.8 else bytes((rng.randrange(256),))
    return bytes(data)


def accepted(data: bytes) -> ResponseHead | None:
    """The head, when it is accepted."""
    try:
        return parse_response_head(data, "GET")
    except Malformed:
        return None


def problem(data: bytes) -> str | None:
    """What is wrong with the answer, or None."""
    head = accepted(data)
    if head is None or b"\r\n\r\n" in data or head.status < 200 or head.length > 1000:
        return None
    length = head.length
    body = b"5\r\nhello\r\n0\r\n\r\n" if length == CHUNKED else b"x" * (7 if length == UNTIL_CLOSE else length)
    reading = read_response(data + b"\r\n\r\n" + body)
    if reading is None:
        return "accepted here, refused by llhttp"
    if reading.first != (b"%d" % head.status, b"1.0" if head.old else b"1.1"):
        return f"another status line: {reading.first}"
    if reading.whole != (length != UNTIL_CLOSE) or reading.body != (b"hello" if length == CHUNKED else body):
        return f"another end of the body: {length} here, there {reading}"
    if any(byte in line for line in (*head.lines, *head.cookies, head.reason) for byte in (b"\r", b"\n", b"\x00")):
        return "a line end passes"
    return None


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_response_head: seed {seed}\n")
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
    sys.stdout.write(f"fuzz_response_head: {tried} heads, {good} accepted, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
