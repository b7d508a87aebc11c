"""Fuzzer of request targets and hosts: `python tests/fuzz/fuzz_path.py [seconds] [seed]`. Exit 1 on a finding.

The oracle is a handful of servers as careless as real ones: they decode twice, cut segments at semicolons, take
backslashes for slashes, merge slashes, resolve dot segments, fold Unicode. Whatever is sent is refused, or every one of
them reads what we forward exactly as the path that was decided on.
"""

from __future__ import annotations

import posixpath
import random
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.wire.host import HostRefused, parse
from proxy.wire.path import PathRefused, absolute, canonical

WRITTEN = r"""
/ // /./ /../ . .. a admin Z ~ - %2e %2E%2e %2f %5C \ ; %3b ;x=1 %25 %252e %252f %25%32%65 % %4 %zz %u002e %00 %0a %7f
%c0%ae %c0%af %e0%80%ae %c3%a9 %C3%A9 %ef%bc%8e %ef%bc%8f %e2%80%a5 %ed%a0%80 %f0%9f%98%80 %e9 %c2%85 %3f %23 ? # @ : [
| " < + %2b * http:// app.example u:p@
"""
PIECES = [*WRITTEN.encode("ascii").split(), b" ", b"\t", b"\r\n", b"\x00", b"\xe9", b"\xff"]
OF_HOSTS = "app example . - _ : 443 0 65536 [ ] ::1 1 127 0x7f @ , %2e xn--a XN / *"
HOST_PIECES = [*OF_HOSTS.encode("ascii").split(), b" ", b"\xc3\xa9", b"\x00"]
CARELESS: dict[str, Callable[[str], str]] = {
    "decodes twice": unquote,
    "cuts at semicolons": lambda path: "/".join(segment.partition(";")[0] for segment in path.split("/")),
    "takes backslashes for slashes": lambda path: path.replace("\\", "/"),
    "merges slashes": lambda path: (
        "/" + "/".join(filter(None, path.split("/"))) + ("/" if path[1:].endswith("/") else "")
    ),
    "resolves dot segments": lambda path: posixpath.normpath(path) + ("/" if path[1:].endswith("/") else ""),
    "stops at NUL": lambda path: path.partition("\0")[0],
    "strips control characters": lambda path: "".join(c for c in path if unicodedata.category(c) != "Cc"),
}


def one_target(sent: bytes) -> None:
    """Check one target. Raises AssertionError on a finding."""
    parts = absolute(sent)
    try:
        target = canonical(sent if parts is None else parts.origin)
    except PathRefused as refusal:
        assert refusal.why.endswith(".")
        return
    assert unquote_to_bytes(target.raw_path) == target.path.encode("utf-8"), "forwarded is not what was decided on"
    assert canonical(target.forward) == target, "the canonical form is not canonical"
    assert urlsplit(target.forward.decode("ascii")).path == target.raw_path.decode("ascii"), "read as another path"
    for name, reading in CARELESS.items():
        assert reading(target.path) == target.path, f"a server that {name} reads another path"
    folded = unicodedata.normalize("NFKC", target.path)
    assert not {".", ".."} & set(folded.split("/")), "a server that folds Unicode finds dot segments"


def one_host(sent: bytes) -> None:
    """Check one Host value. Raises AssertionError on a finding."""
    try:
        host, port = parse(sent)
    except HostRefused as refusal:
        assert refusal.why.endswith(".")
        return
    spelled = host if port is None else f"{host}:{port}"
    assert parse(spelled.encode("ascii")) == (host, port), "the canonical form is not canonical"
    url = urlsplit(f"http://{spelled}/")
    assert (url.hostname, url.port) == (host.strip("[]"), port), "another reader finds another host"


def made_of(pieces: list[bytes], rng: random.Random) -> bytes:
    """Pieces that matter, sometimes mutated."""
    text = bytearray(b"".join(rng.choices(pieces, k=rng.randrange(10))))
    while text and rng.random() < 0.2:
        text[rng.randrange(len(text))] = rng.randrange(256)
    return bytes(text)


def main() -> int:
    """Run for some seconds (default 10) from a seed (default: the clock); print the finding, if any."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    rng = random.Random(seed)
    until, runs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        target = rng.choice([b"/", b"/", b""]) + made_of(PIECES, rng)
        host = made_of(HOST_PIECES, rng)
        for check, sent in ((one_target, target), (one_host, host)):
            try:
                check(sent)
            except Exception as finding:  # noqa: BLE001 - any exception is a finding
                sys.stdout.write(f"seed {seed}, run {runs}: {check.__name__}({sent!r}): {finding!r}\n")
                return 1
        runs += 1
    sys.stdout.write(f"seed {seed}: {runs} targets and hosts, nothing found\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
