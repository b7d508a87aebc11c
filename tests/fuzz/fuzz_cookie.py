"""Fuzzer of the Cookie header: `python tests/fuzz/fuzz_cookie.py [seconds] [seed]`. Exit 1 on a finding.

The oracle is a parser as lenient as apps have them (blanks, quotes, empty names, any case, commas): whatever is sent,
it must find no cookie of ours in what an app gets, and every cookie of somebody else's.
"""

from __future__ import annotations

import random
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.sessions.cookie import set_cookie_strips, take

HANDLE = b"h" * 43
PIECES = [
    b"__Host-ostiary",
    b"__host-OSTIARY",
    b"__Host-ostiary-bind",
    b"__Host-",
    b"ostiary",
    b"a",
    b"b=1",
    b"=",
    b";",
    b"; ",
    b";;",
    b" ",
    b"\t",
    b"\x0b",
    b"\x00",
    b'"',
    b"'",
    b",",
    b"$Version=1",
    HANDLE,
    b"o" * 43,
    b"\xff",
    b"%5F",
]
OURS = re.compile(rb"[\x00-\x20\x7f=\"']*__host-ostiary", re.IGNORECASE)
AFTER_COMMA = re.compile(rb",[\x00-\x20\"']*__host-ostiary[^=;]*=", re.IGNORECASE)


def one(rng: random.Random) -> bytes:
    """A header put together from what matters, sometimes mutated."""
    text = bytearray(b"".join(rng.choices(PIECES, k=rng.randrange(12))))
    while text and rng.random() < 0.2:
        text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def problem(header: bytes) -> str | None:
    """What is wrong with the answer, or None."""
    handle, rest = take(header)
    if any(OURS.match(part) for part in rest.split(b";")) or AFTER_COMMA.search(rest):
        return "a cookie of ours reaches the app"
    if b"ostiary" not in header.lower() and rest != header:
        return "a cookie of somebody else's was changed"
    kept = [part.strip(b" \t") for part in header.split(b";") if b"ostiary" not in part.lower()]
    left = [part.strip(b" \t") for part in rest.split(b";") if b"ostiary" not in part.lower()]
    if [part for part in kept if part] != [part for part in left if part]:
        return "a cookie of somebody else's was lost"
    if handle is not None and header.count(b"__Host-ostiary") < 1:
        return "a handle from nowhere"
    if OURS.match(header) and not set_cookie_strips(header):
        return "an app sets a cookie of ours"
    return None


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_cookie: seed {seed}\n")
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        for _ in range(1000):
            header = one(rng)
            if found := problem(header):
                sys.stdout.write(f"{found}: {header!r} -> {take(header)!r}\n")
                return 1
        tried += 1000
    sys.stdout.write(f"fuzz_cookie: {tried} headers, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
