"""The table: Ostiary beside its peers, from one run. `python -m loadtests.bench --help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from loadtests import certificates
from loadtests.figures import markdown, summary
from loadtests.processes import CorrectnessError, Fleet, free_port
from loadtests.scenarios import FULL, QUICK, SECTIONS, SMOKE, Bench, say, smoke
from loadtests.shapes import download_body, page_body
from loadtests.target_ostiary import Ostiary
from loadtests.targets import PEERS, Nginx, Stage, Target, start_upstream

OUT = Path(__file__).resolve().parent / "out"
LOAD_CPU = 1
KINDS: tuple[type[Target], ...] = (*PEERS, Ostiary)
EPILOG = """\
  python -m loadtests.bench --quick                 about six minutes
  python -m loadtests.bench --full                  about half an hour: the table in README
  python -m loadtests.bench --quick --only http     one section
  python -m loadtests.bench --smoke                 correctness only, under a minute: what CI runs

exit codes: 0 whatever the timing; 1 when anything answered wrongly or lost bytes; 2 when something is not installed
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.bench",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_const", dest="plan", const=SMOKE, help="correctness only")
    size.add_argument("--quick", action="store_const", dest="plan", const=QUICK, help="two short rounds (default)")
    size.add_argument("--full", action="store_const", dest="plan", const=FULL, help="five rounds of three seconds")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="this section (repeat for several)")
    names = [kind.name for kind in KINDS]
    parser.add_argument("--target", action="append", choices=names, help="this target (repeat; nginx is always there)")
    parser.add_argument("--rounds", type=int, help="another number of rounds")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configurations and logs")
    parser.set_defaults(plan=QUICK)
    return parser.parse_args()


def chosen(names: list[str] | None) -> list[type[Target]]:
    """The targets to run, in the order of the table; says which are left out because they are not installed."""
    kinds: list[type[Target]] = []
    for kind in KINDS:
        if names and kind.name not in names and kind is not Nginx:
            continue
        lacking = kind.missing()
        if lacking is None:
            kinds.append(kind)
        else:
            say(f"without {kind.title}: {lacking} is not installed (loadtests/install_peers.sh installs the peers)")
    return kinds


def environment() -> dict[str, str]:
    """What the figures were measured on and with."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    versions = {
        "nginx": _says("nginx", "-v"),
        "haproxy": _says("haproxy", "-v"),
        "caddy": _says("caddy", "version"),
        "apache": _says("apache2", "-v"),
    }
    machine = f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return {"when": when, "machine": machine, "load": f"{os.getloadavg()[0]:.1f}", **versions}


def write(bench: Bench, around: dict[str, str]) -> str:
    """Write `out/bench.md` and `out/bench.json`; returns the Markdown."""
    table = markdown(bench.samples, [(kind.name, kind.title) for kind in bench.kinds])
    plan = bench.plan
    lines = [
        f"{around['when']}, {around['machine']}; "
        f"load average before it began: {around['load']}. {plan.rounds} rounds of {plan.seconds:g} s each, "
        "targets in turn; medians; × is the median of the ratios within each round.",
        "",
        table,
        *bench.notes,
        "; ".join(f"{name}: {around[name]}" for name in ("nginx", "haproxy", "caddy", "apache")) + ".",
    ]
    text = "\n".join(lines) + "\n"
    OUT.mkdir(exist_ok=True)
    (OUT / "bench.md").write_text(text)
    document = {
        "environment": around,
        "plan": dataclasses.asdict(plan),
        "goals": summary(bench.samples),
        "samples": [dataclasses.asdict(sample) for sample in bench.samples],
        "notes": bench.notes,
    }
    (OUT / "bench.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return text


def run(args: argparse.Namespace, folder: Path) -> int:
    """Everything, from starting the upstream to writing the table."""
    (folder / "www").mkdir()
    (folder / "www" / "page").write_bytes(page_body())
    (folder / "www" / "download").write_bytes(download_body())
    plan = dataclasses.replace(args.plan, rounds=args.rounds) if args.rounds else args.plan
    with Fleet(folder) as fleet:
        upstream = start_upstream(fleet, folder, 1, (LOAD_CPU,))
        echo = free_port()
        fleet.start("echo", [sys.executable, "-m", "loadtests.echo", str(echo)], port=echo, cpus=(LOAD_CPU,))
        stage = Stage(fleet, folder, certificates.make(folder), upstream, echo)
        bench = Bench(stage, plan, chosen(args.target))
        around = environment()
        if float(around["load"]) > 0.5:
            say(f"this machine is busy (load average {around['load']}): rates and latencies will mean nothing")
        try:
            bench.start()
            if plan == SMOKE:
                smoke(bench)
                print("every answer was right")
                return 0
            for name, section in SECTIONS.items():
                if not args.only or name in args.only:
                    section(bench)
                    write(bench, around)
        except CorrectnessError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    print(write(bench, around))
    return 0


def main() -> int:
    """Prepare, run, clean up."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what we started is stopped
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if shutil.which("wrk") is None or Nginx.missing():
        print("wrk and nginx are needed: run loadtests/install_peers.sh", file=sys.stderr)
        return 2
    if (os.cpu_count() or 1) < LOAD_CPU + 1:
        print("two processors are needed: one for the proxy, one for load and upstream", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="ostiary-bench-"))
    folder.chmod(0o755)  # Apache's workers run as another user
    try:
        return run(args, folder)
    except KeyboardInterrupt:
        return 130
    finally:
        if args.keep:
            say(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _says(program: str, flag: str) -> str:
    path = shutil.which(program)
    if path is None:
        return "not installed"
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False, timeout=20)
    return (done.stdout + done.stderr).strip().splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
