"""Mixed traffic against a real `ostiary serve`: nothing lost, memory flat. `python -m loadtests.soak --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from loadtests import certificates, wire
from loadtests.ledger import Kill, Ledger, discrepancies, slope
from loadtests.processes import ROOT, CorrectnessError, Fleet, cpu_seconds, free_port, pss_kib, tree
from loadtests.soak_disturbances import PATIENCE, aborted_clients, revoked_sessions, strangers
from loadtests.soak_traffic import Traffic, downloads, pipelines, server_sent_events, uploads, websockets
from loadtests.target_ostiary import Ostiary, make_session
from loadtests.targets import Stage

OUT = Path(__file__).resolve().parent / "out"
WARM_UP = 0.4  # of the time, at most a minute: caches fill, allocators settle
SHORTEST_JUDGED = 45.0  # seconds of samples without which growth says nothing
KIB_PER_SECOND = 24.0  # growth of all processes together that still counts as flat
EPILOG = """\
  python -m loadtests.soak                      two minutes
  python -m loadtests.soak --seconds 15         what CI runs: correctness, too short to judge memory
  python -m loadtests.soak --kill-worker        one worker is killed in the middle and must be replaced

exit codes: 0 nothing lost and memory flat; 1 something was
"""


class SoakProxy(Ostiary):
    """Two workers before the soak's own upstream."""

    keep_audit = 100

    def routes(self) -> list[dict[str, Any]]:
        here, app = f"https://{self.host}:{self.tls}", f"http://127.0.0.1:{self.stage.upstream}"
        allow = [
            {"name": "engineers-read", "groups": ["eng"], "methods": ["GET", "HEAD"], "paths": _paths("bytes")},
            {"name": "engineers-stream", "groups": ["eng"], "paths": _paths("events", "trickle", "ws")},
            {"name": "engineers-write", "groups": ["eng"], "methods": ["POST"], "paths": _paths("digest")},
            {"name": "admins", "groups": ["admin"]},
        ]
        deny = [{"name": "not-from-the-guest-network", "networks": ["10.9.0.0/16"]}]
        return [{"name": "app", "from": here, "to": app, "allow": allow, "deny": deny}]


def _paths(*last: str) -> list[str]:
    return [f"/soak/*/{word}" for word in last]


@dataclass
class Soak:
    """One run."""

    proxy: SoakProxy
    seconds: float
    kill_worker: bool
    ledger: Ledger = field(default_factory=Ledger)
    memory: list[tuple[float, float]] = field(default_factory=list)
    kill: Kill | None = None

    async def run(self) -> None:
        """All the traffic, to its end."""
        proxy = self.proxy
        sessions = [await make_session(proxy.state, proxy.host) for _ in range(6)]
        began = time.monotonic()
        traffic = Traffic(
            tls=f"https://{proxy.host}:{proxy.tls}",
            clear=f"http://{proxy.host}:{proxy.clear}",
            host=proxy.host,
            authority=proxy.authority(tls=True),
            context=wire.client_context(proxy.stage.certificates.ca),
            cookies=[cookie for cookie, _ in sessions],
            ledger=self.ledger,
            until=began + self.seconds,
        )
        works: list[Coroutine[Any, Any, None]] = [
            *(downloads(traffic) for _ in range(4)),
            downloads(traffic, clear=True),
            downloads(traffic, largest=4_000_000),
            downloads(traffic, largest=20_000_000),
            downloads(traffic, chunked=True, largest=500_000),
            uploads(traffic),
            uploads(traffic, expect=True),
            uploads(traffic, chunked=True),
            websockets(traffic),
            websockets(traffic),
            server_sent_events(traffic),
            pipelines(traffic),
            aborted_clients(traffic),
            strangers(traffic),
            revoked_sessions(traffic, lambda: make_session(proxy.state, proxy.host), self._revoke),
            self._watch_memory(began),
        ]
        if self.kill_worker:
            works.append(self._kill_one(began + self.seconds / 2))
        await asyncio.wait_for(asyncio.gather(*works), self.seconds + 90)
        await self._upstream_is_quiet()

    async def _revoke(self, sid: str) -> None:
        """As an admin does it: on the command line."""
        command = [sys.executable, "-m", "proxy", "sessions", "revoke", sid, "--config", str(self.proxy.config)]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
        if process.returncode != 0:
            raise CorrectnessError(f"`ostiary sessions revoke` ended with {process.returncode}: {said.decode()}")

    async def _watch_memory(self, began: float) -> None:
        while time.monotonic() < began + self.seconds:
            await asyncio.sleep(1)
            self.memory.append((time.monotonic() - began, pss_kib(self.proxy.pid)))

    async def _kill_one(self, at: float) -> None:
        """End the busiest worker without warning; another must take its place within ten seconds."""
        await asyncio.sleep(at - time.monotonic())
        before = set(tree(self.proxy.pid)) - {self.proxy.pid}
        victim = max(before, key=cpu_seconds)
        self.kill = Kill(time.monotonic())
        os.kill(victim, signal.SIGKILL)
        for _ in range(100):
            await asyncio.sleep(0.1)
            now = set(tree(self.proxy.pid)) - {self.proxy.pid}
            if len(now) >= len(before) and victim not in now:
                return
        raise CorrectnessError("a killed worker was not replaced within ten seconds")

    async def _upstream_is_quiet(self) -> None:
        """Whoever left has left the upstream too. Raises CorrectnessError when exchanges go on without a client."""
        url = f"http://127.0.0.1:{self.proxy.stage.upstream}/active"
        async with aiohttp.ClientSession() as client:
            for _ in range(50):
                async with client.get(url) as answer:
                    active = int(await answer.text())
                if active == 0:
                    return
                await asyncio.sleep(0.1)
        raise CorrectnessError(f"{active} exchanges still run upstream, five seconds after their clients left")

    def growth(self) -> float | None:
        """KiB per second after warming up; None when the run was too short to say, or a worker was replaced."""
        first = min(60.0, self.seconds * WARM_UP)
        points = [point for point in self.memory if point[0] >= first]
        if self.kill_worker or not points or points[-1][0] - points[0][0] < SHORTEST_JUDGED:
            return None
        return slope(points)


def recorded(proxy: SoakProxy) -> tuple[list[str], list[str]]:
    """From all audit files: the request ids of the lines, and what is wrong with the record itself."""
    ids: list[str] = []
    wrong: list[str] = []
    numbers: dict[str, list[int]] = {}
    for path in proxy.folder.glob("audit.jsonl*"):
        if path.name.endswith(".lock"):
            continue
        for line in path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                wrong.append(f"{path.name} has a line that is not JSON: {line[:200]!r}")
                continue
            if "seq" in entry:
                numbers.setdefault(str(entry.get("run")), []).append(entry["seq"])
            if entry.get("lost"):
                wrong.append(f"the record says it lost {entry['lost']} lines")
            parts = str(entry.get("path", "")).split("/")
            if entry.get("type", "request") in ("request", "stream") and parts[1:2] == ["soak"]:
                ids.append(parts[2])
    for run, seen in numbers.items():
        if sorted(seen) != list(range(min(seen), min(seen) + len(seen))):
            wrong.append(f"the lines of run {run} are not numbered without a gap")
    return ids, wrong


def report(soak: Soak, wrong: list[str]) -> str:
    """What happened, for people; also written to `out/soak.md` and `out/soak.json`."""
    ledger, growth = soak.ledger, soak.growth()
    first, last = (soak.memory[0][1], soak.memory[-1][1]) if soak.memory else (0.0, 0.0)
    flat = "not judged" if growth is None else f"{growth:+.1f} KiB/s (flat: up to {KIB_PER_SECOND:g})"
    cut = f"{max(ledger.cuts) * 1000:.0f} ms at worst" if ledger.cuts else "none was open"
    lines = [
        f"Soak of {soak.seconds:g} s, two workers{', one killed in the middle' if soak.kill else ''}.",
        "",
        "| traffic | exchanges |",
        "|---|---:|",
        *(f"| {kind} | {count:,} |" for kind, count in sorted(ledger.kinds.items())),
        "",
        f"Answered and on record: {len(ledger.answered):,}. Failed while a worker was replaced: {len(ledger.failed)}.",
        f"Streams after a revocation (at most {PATIENCE:g} s allowed): {cut}, {len(ledger.cuts)} cut.",
        f"Memory of all processes: {first / 1024:.1f} MiB at first, {last / 1024:.1f} MiB at last; slope {flat}.",
        "",
        *(
            [f"**{len(wrong)} things went wrong:**", *(f"- {what}" for what in wrong[:40])]
            if wrong
            else ["Nothing lost."]
        ),
    ]
    text = "\n".join(lines) + "\n"
    OUT.mkdir(exist_ok=True)
    (OUT / "soak.md").write_text(text)
    document = {
        "seconds": soak.seconds,
        "kinds": dict(ledger.kinds),
        "memory": soak.memory,
        "slope_kib_per_second": growth,
        "cuts": ledger.cuts,
        "wrong": wrong,
    }
    (OUT / "soak.json").write_text(json.dumps(document, indent=1) + "\n")
    return text


def soak(args: argparse.Namespace, folder: Path) -> int:
    """Start, load, stop, compare."""
    with Fleet(folder) as fleet:
        upstream = free_port()
        fleet.start("origin", [sys.executable, "-m", "loadtests.origin", str(upstream)], port=upstream)
        stage = Stage(fleet, folder, certificates.make(folder), upstream, upstream, workers=2, cpus=None)
        proxy = SoakProxy(stage)
        proxy.start()
        run = Soak(proxy, args.seconds, args.kill_worker)
        wrong = []
        try:
            uvloop.run(run.run())
        except (CorrectnessError, TimeoutError, aiohttp.ClientError, OSError) as error:
            wrong.append(f"the traffic did not come to its end: {error!r}")
        fleet.stop(proxy.process)
        if proxy.process is not None and proxy.process.returncode != 0:
            wrong.append(f"the proxy ended with {proxy.process.returncode}, not 0, when asked to stop")
        ids, faults = recorded(proxy)
        wrong += run.ledger.wrong + run.ledger.failures(run.kill) + faults + discrepancies(run.ledger, ids, run.kill)
        growth = run.growth()
        if growth is not None and growth > KIB_PER_SECOND:
            wrong.append(f"memory grows by {growth:.1f} KiB/s")
        print(report(run, wrong))
        return 1 if wrong else 0


def main() -> int:
    """Prepare, run, clean up."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.soak",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: 120)")
    parser.add_argument("--kill-worker", action="store_true", help="kill one worker in the middle")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configuration, logs and record")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what we started is stopped
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(tempfile.mkdtemp(prefix="ostiary-soak-"))
    try:
        return soak(args, folder)
    except KeyboardInterrupt:
        return 130
    finally:
        if args.keep:
            print(f"kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
