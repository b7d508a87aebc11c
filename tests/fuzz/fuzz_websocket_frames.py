"""Fuzzer of WebSocket frames: `python tests/fuzz/fuzz_websocket_frames.py [seconds] [seed]`. Exit 1 on a finding.

The oracle is a plain reader of whole streams: however the bytes are cut, the tracker must know after each piece whether
it stands between two frames, saw a Close, or saw what is no frame.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from plain_frames import frame, read_frames

from proxy.wire.websocket import Frames

OPCODES = (0, 1, 2, 3, 8, 9, 10, 11, 15)
SIZES = (0, 1, 2, 125, 126, 127, 300)


def one(rng: random.Random) -> bytes:
    """A stream of frames, sometimes damaged or cut short."""
    data = bytearray()
    for _ in range(rng.randrange(5)):
        mask = rng.randbytes(4) if rng.random() < 0.5 else b""
        opcode = rng.choice(OPCODES) if rng.random() < 0.9 else 2
        form = rng.choice((0, 0, 0, 126, 127))
        data += frame(opcode, rng.randbytes(rng.choice(SIZES)), mask=mask, fin=rng.random() < 0.8, form=form)
    while data and rng.random() < 0.3:
        data[rng.randrange(len(data))] = rng.choice((0, 0x7E, 0x7F, 0x88, 0xFE, 0xFF, rng.randrange(256)))
    if rng.random() < 0.3:
        data += rng.randbytes(rng.randrange(12))
    return bytes(data[: rng.randrange(len(data) + 1)] if data and rng.random() < 0.3 else data)


def problem(data: bytes, rng: random.Random) -> str | None:
    """What is wrong with the answer, or None."""
    tracker = Frames()
    at = 0
    step = rng.choice((1, 2, 7, 100, 1 << 20))
    while at < len(data):
        until = min(len(data), at + rng.randrange(1, step + 1))
        tracker.feed(data[at:until])
        at = until
        plain = read_frames(data[:at])
        if (tracker.closing, tracker.broken) != (plain.closing, plain.broken):
            return f"after {at} bytes: closing, broken are {tracker.closing}, {tracker.broken}"
        if tracker.between() is not (plain.ends[-1] == at and not plain.closing and not plain.broken):
            return f"after {at} bytes: between two frames is {tracker.between()}"
    return None


def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_websocket_frames: seed {seed}\n")
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        for _ in range(200):
            data = one(rng)
            if found := problem(data, rng):
                sys.stdout.write(f"{found}: {data!r}\n")
                return 1
        tried += 200
    sys.stdout.write(f"fuzz_websocket_frames: {tried} streams, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(main(float(words[0]), int(words[1])))
