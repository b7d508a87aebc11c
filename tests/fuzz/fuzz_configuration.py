"""Fuzzer of the configuration: `python tests/fuzz/fuzz_configuration.py [seconds] [seed]`. Exit 1 on a finding.

The oracle: whatever the bytes, the answer is either settings without an error among the problems, or problems with a
place in the file; a file that is accepted means the same to another YAML reader; never any other exception.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import yaml

from proxy.settings.load import check
from proxy.settings.parse import parse
from proxy.settings.problems import render

REPOSITORY = Path(__file__).resolve().parents[2]
SEEDS = [path.read_bytes() for path in sorted((REPOSITORY / "config").rglob("*.yaml"))]
PIECES = [
    b"routes:", b"name: ", b"from: ", b"https://a.b:8443", b"to: ", b"allow: ", b"deny: ", b"not: ", b"{", b"}",
    b"[", b"]", b", ", b": ", b"- ", b"\n", b"\n  ", b"\n    ", b"'", b'"', b"#", b"&a ", b"*a", b"!x ",
    b"<<: ", b"|\n", b"? ", b"~", b"no", b"true", b"1:30", b"10s", b"1h", b"64KiB", b"0x1", b"1e3", b"-1",
    b"999999999999999999999", b"*.", b"/**", b"%", b'\\', b"\x00", b"\xff", b"\xe2\x80\xae", b"\xc3\xa9",
    b"\r\n", b"\t", b"---\n", b"@", b"spiffe://a/b", b"10.0.0.0/8", b"claims: {a: 1}", b"hours: [{zone: x}]",
    b"users: [a@b.c]", b"unix:", b"env: X", b"file: x", b"public: true",
]  # fmt: skip


def one_input(data: bytes) -> None:
    """Check one configuration, once as `ostiary.yaml` and once as its routes. Raises AssertionError on a finding."""
    document = parse(data, "f.yaml")
    if document.sound:
        assert document.value == yaml.load(data, yaml.CSafeLoader)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ostiary.yaml").write_bytes(data)
        _judge(folder)
        (folder / "ostiary.yaml").write_bytes(SEEDS[0].replace(b"routes: routes/", b"routes: apps.yaml"))
        (folder / "apps.yaml").write_bytes(data)
        _judge(folder)


def _judge(folder: Path) -> None:
    checked = check(folder / "ostiary.yaml")
    refused = any(problem.severity == "error" for problem in checked.problems)
    assert refused == (checked.settings is None), "settings and problems disagree"
    assert all(problem.line >= 0 and problem.message for problem in checked.problems)
    assert "\x1b" not in render(checked.problems), "a terminal would obey what the file says"


def mutated(rng: random.Random) -> bytes:
    """The example, or nothing, with pieces inserted, replaced, removed and repeated."""
    data = bytearray(rng.choice([*SEEDS, b""]))
    for _ in range(rng.randrange(1, 8)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice([0, 0, 1, 4, 40]))
        piece = rng.choice([rng.choice(PIECES), bytes(data[start:end]) * 2, bytes([rng.randrange(256)])])
        data[start:end] = piece
    return bytes(data)


def main(seconds: float, seed: int) -> int:
    """Run for so long; print the seed and what was found."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        data = mutated(rng)
        try:
            one_input(data)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            sys.stdout.write(f"seed {seed}, input {count}: {type(error).__name__}: {error}\n{data!r}\n")
            return 1
        count += 1
    sys.stdout.write(f"seed {seed}: {count} inputs, nothing found\n")
    return 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(float(words[0]) if words else 30.0, int(words[1]) if len(words) > 1 else random.randrange(1 << 32)))
