"""One measurement of one target: start a load generator, weigh the target before and after."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loadtests import wire
from loadtests.figures import Mode
from loadtests.processes import ROOT, CorrectnessError, cpu_seconds, dies_with_us, pss_kib, run_python
from loadtests.shapes import PAGE, Run, Shape, mismatch, parse_run, write_script
from loadtests.targets import Target

LOAD_CPUS = (1,)
_SLACK = 60  # seconds a load generator may take beyond what it was asked to


@dataclass(frozen=True)
class Cost:
    """What a number of requests (or messages, or handshakes) cost the target."""

    count: int
    seconds: float
    cpu: float  # seconds of processor time of the target's processes

    @property
    def microseconds(self) -> float:
        """CPU µs for each."""
        return self.cpu / self.count * 1e6


def requests(
    target: Target, shape: Shape, mode: Mode, *, seconds: float, length: int, threads: int = 1, pinned: bool = True
) -> Cost:
    """As many requests as go in `seconds` over kept connections; `length` is what `verify` found one answer to be.

    Raises CorrectnessError when any failed or bytes are missing.
    """
    script = write_script(shape, target.authority(mode == "TLS"), target.cookie, target.stage.folder)
    command = ["wrk", f"-t{threads}", f"-c{shape.connections * threads}", "--timeout", "30s", "-s", str(script)]
    url = target.url(shape.path, mode == "TLS")

    def run(duration: float) -> Run:
        done = subprocess.run(
            [*command, f"-d{max(1, round(duration))}s", url],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=duration + _SLACK,
            check=False,
            preexec_fn=dies_with_us(LOAD_CPUS if pinned else None),
        )
        return parse_run(done.stdout + done.stderr)

    run(1)
    for patience in (seconds, 3 * seconds, 9 * seconds):  # a busy machine may not finish one download in a second
        before = cpu_seconds(target.pid)
        figures = run(patience)
        if figures.requests:
            break
    cost = Cost(figures.requests, figures.seconds, cpu_seconds(target.pid) - before)
    wrong = mismatch(figures, length, shape.connections * threads)
    if wrong:
        raise CorrectnessError(f"{target.title}, {shape.title}, {mode}: {wrong}")
    return cost


def messages(target: Target, mode: Mode, *, seconds: float) -> Cost:
    """WebSocket messages to and fro. Raises CorrectnessError when one is lost or changed."""
    before = cpu_seconds(target.pid)
    arguments = [*_address(target, mode), "--origin", target.origin(mode == "TLS"), "--seconds", seconds]
    answer = json.loads(_generator("loadtests.messages", target, arguments, seconds))
    return Cost(answer["echoes"], answer["seconds"], cpu_seconds(target.pid) - before)


def latency(target: Target, mode: Mode, *, seconds: float, rate: float) -> tuple[float, float]:
    """p50 and p99 in milliseconds of the browser-shaped GET at `rate` requests a second."""
    arguments = [*_address(target, mode), "--shape", PAGE.name, "--rate", rate, "--seconds", seconds]
    answer = json.loads(_generator("loadtests.openloop", target, arguments, seconds))
    return answer["p50"], answer["p99"]


def handshakes(target: Target, *, seconds: float, request: bool = False) -> Cost:
    """Full TLS 1.3 handshakes with a client certificate, each perhaps followed by one tiny GET."""
    made = target.stage.certificates
    arguments: list[str | float | Path] = ["--port", str(target.mtls), "--host", target.host, "--ca", made.ca]
    arguments += ["--cert", made.client_cert, "--key", made.client_key, "--seconds", seconds]
    arguments += ["--request", target.authority(tls=True)] if request else []
    before = cpu_seconds(target.pid)
    answer = json.loads(_generator("loadtests.handshakes", target, arguments, seconds))
    return Cost(answer["handshakes"], answer["seconds"], cpu_seconds(target.pid) - before)


class Idle:
    """Connections that are open and silent while the body of the `with` runs; checked for life when it ends."""

    def __init__(self, target: Target, mode: Mode, count: int, *, websocket: bool) -> None:
        self.target = target
        self.count = count
        arguments = [*_address(target, mode), "--origin", target.origin(mode == "TLS"), "--count", str(count)]
        kind = ["--websocket"] if websocket else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.idle", *map(str, arguments), *kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            preexec_fn=dies_with_us(LOAD_CPUS),
        )

    def __enter__(self) -> Self:
        self._expect("ready")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                assert self._process.stdin is not None
                self._process.stdin.write("\n")
                self._process.stdin.flush()
                self._expect("alive")
        finally:
            self._process.kill()
            self._process.communicate()

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != word:
            self._process.kill()
            said = self._process.communicate()[1][-1500:]
            raise CorrectnessError(f"{self.target.title}: {self.count} idle connections are not {word}: {said}")


def idle_kib(target: Target, mode: Mode, count: int, *, websocket: bool) -> float:
    """KiB of the target's memory (PSS) each idle connection adds."""
    with Idle(target, mode, 20, websocket=websocket):
        pass  # whatever is made once is made now
    before = pss_kib(target.pid)
    with Idle(target, mode, count, websocket=websocket):
        return (pss_kib(target.pid) - before) / count


def service_gets_in(target: Target) -> None:
    """A request with the client certificate is answered, one without is not. Raises CorrectnessError."""
    made = target.stage.certificates
    assert target.mtls is not None
    context = wire.client_context(made.ca, (made.client_cert, made.client_key))
    with wire.connect(target.mtls, target.host, context) as connection:
        connection.sendall(wire.request(PAGE, target.authority(tls=True), "none=here"))
        status, head, _ = wire.receive(connection)
    if status != 200:
        raise CorrectnessError(f"{target.title}: a service with its certificate was answered {head[:300]!r}")
    try:
        with wire.connect(target.mtls, target.host, wire.client_context(made.ca)) as connection:
            connection.sendall(wire.request(PAGE, target.authority(tls=True), "none=here"))
            got = connection.recv(65_536)
    except (ssl.SSLError, ConnectionError):
        return
    if got and got[9:10] != b"4":
        raise CorrectnessError(f"{target.title}: without a certificate the answer was {got[:200]!r}")


def _address(target: Target, mode: Mode) -> list[str | float | Path]:
    address: list[str | float | Path] = ["--port", str(target.port(mode == "TLS")), "--host", target.host]
    address += ["--authority", target.authority(mode == "TLS"), "--cookie", target.cookie]
    return [*address, "--ca", target.stage.certificates.ca] if mode == "TLS" else address


def _generator(module: str, target: Target, arguments: list[str | float | Path], seconds: float) -> str:
    try:
        done = run_python(module, *arguments, cpus=LOAD_CPUS, timeout=seconds + _SLACK)
    except CorrectnessError as error:
        raise CorrectnessError(f"{target.title}: {error}") from error
    return done.stdout
