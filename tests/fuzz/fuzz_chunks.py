"""Fuzzer of chunked bodies: `python tests/fuzz/fuzz_chunks.py [seconds] [seed]`. Exit 1 on a finding.

Two oracles: llhttp must find the same body, ending at the same byte, in whatever ours accepts; and however the bytes
are cut, ours must come to the same end.
"""

from __future__ import annotations

import random
import sys
import time
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from llhttp_reading import read_request

from proxy.wire.body import ChunkedReader
from proxy.wire.lines import Malformed

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = [b"5\r\nhello\r\n", b"1\r\nx\r\n", b"A\r\n0123456789\r\n", b"005\r\nhello\r\n", b'5;a=b;c="d;e"\r\nhello\r\n']
ENDS = [b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n", b"00;x\r\n\r\n"]
SPICE = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b";",
    b"=",
    b'"',
    b"0",
    b"+",
    b"-",
    b"x",
    b"_",
    b"\xa0",
    b"5",
    b"f",
]
# llhttp refuses these as trailers; here trailers are dropped unread.
FRAMING = (b"content-length", b"transfer-encoding")


def one(rng: random.Random) -> bytes:
    """A body put together from what matters, sometimes mutated."""
    data = bytearray(b"".join(rng.choices(PIECES, k=rng.randrange(3))) + rng.choice(ENDS) + b"GET")
    while rng.random() < 0.5:
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(2)] = rng.choice(SPICE) if rng.random() < 0.8 else bytes((rng.randrange(256),))
    return bytes(data)


def read(data: bytes, cuts: list[int]) -> tuple[bytes, bytes] | None:
    """(body, what is behind it), fed in pieces; None when it is refused or not complete."""
    reader = ChunkedReader()
    body = b""
    for start, stop in pairwise([0, *sorted(cuts), len(data)]):
        try:
            body += reader.feed(data[start:stop])
        except Malformed:
            return None
        if reader.done:
            return body, reader.rest + data[stop:]
    return None


def problem(data: bytes, rng: random.Random) -> str | None:
    """What is wrong with the answer, or None."""
    whole = read(data, [])
    if read(data, list(range(1, len(data)))) != whole:
        return "byte by byte it means something else"
    if read(data, [rng.randrange(len(data)) for _ in range(3)]) != whole:
        return "in pieces it means something else"
    if whole is None:
        return None
    body, behind = whole
    used = data[: len(data) - len(behind)]
    reading = read_request(HEAD + used)
    if reading is None:
        return "accepted here, refused by llhttp"
    if not reading.whole or reading.body != body:
        return f"another body: {reading.body!r}"
    early = read_request(HEAD + used[:-1])
    return "llhttp sees the end earlier" if early is None or early.whole else None


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_chunks: seed {seed}\n")
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    tried = good = 0
    while time.monotonic() < end:
        for _ in range(1000):
            data = one(rng)
            if not any(name in data.lower() for name in FRAMING) and (found := problem(data, rng)):
                sys.stdout.write(f"{found}: {data!r}\n")
                return 1
            good += read(data, []) is not None
        tried += 1000
    sys.stdout.write(f"fuzz_chunks: {tried} bodies, {good} accepted, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
