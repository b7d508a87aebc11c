"""Runs every fuzzer for a while: `python tests/fuzz/run.py --help`.

A fuzzer is a program `tests/fuzz/fuzz_*.py` that takes seconds and a seed, tries inputs until the time is over, and
exits 1 when it finds something, having printed the input. To add one, write the file: it is found by its name.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
GRACE = 60.0  # seconds beyond its time after which a fuzzer hangs, which is a finding as well
EPILOG = """\
examples:
  python tests/fuzz/run.py                          every fuzzer for 20 seconds
  python tests/fuzz/run.py --seconds 600 path head  two of them for ten minutes
  python tests/fuzz/run.py --seed 12345 cookie      the same inputs as a run that printed this seed

exit codes: 0 nothing found, 1 something was, 2 wrong use
"""


def fuzzers() -> dict[str, Path]:
    """Name → program, in order of names."""
    return {path.stem.removeprefix("fuzz_"): path for path in sorted(HERE.glob("fuzz_*.py"))}


def run_one(program: Path, seconds: float, seed: int) -> tuple[str, str]:
    """Run one. Returns what was found ("" is nothing) and what it printed."""
    command = [sys.executable, str(program), str(seconds), str(seed)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds + GRACE,
        )
    except subprocess.TimeoutExpired as error:
        output = error.output.decode(errors="replace") if isinstance(error.output, bytes) else error.output or ""
        return f"still running {GRACE:.0f} s after its time", output
    return "" if done.returncode == 0 else f"exit {done.returncode}", done.stdout


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python tests/fuzz/run.py",
        description="Run every fuzzer, or those that are named, for a while.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(fuzzers())}")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each (default: 20)")
    parser.add_argument("--seed", type=int, help="repeat a run (default: chosen and printed)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once (default: one per core)")
    args = parser.parse_args(words)
    unknown = sorted(set(args.names) - set(fuzzers()))
    if unknown:
        parser.error(f"there is no fuzzer {', '.join(unknown)}; there is {', '.join(fuzzers())}")
    if args.seconds <= 0 or args.jobs < 1:
        parser.error("--seconds and --jobs must be more than nothing")
    return args


def main(words: Sequence[str] | None = None) -> int:
    """Run and report, one line for each fuzzer; the whole output of one that found something."""
    args = parsed(words)
    seed = random.randrange(1 << 32) if args.seed is None else args.seed
    chosen = {name: path for name, path in fuzzers().items() if not args.names or name in args.names}
    print(f"{len(chosen)} fuzzers, {args.seconds:g} s each, seed {seed}", flush=True)
    began = time.monotonic()
    findings = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = {name: pool.submit(run_one, path, args.seconds, seed) for name, path in chosen.items()}
        for name, run in runs.items():
            problem, output = run.result()
            lines = output.strip().splitlines() or ["(it printed nothing)"]
            findings += bool(problem)
            mark, text = ("✗", f"{problem}\n" + "\n".join(lines)) if problem else ("✓", lines[-1])
            print(f"  {mark} {name}: {text}", flush=True)
    print(f"{findings} of {len(chosen)} fuzzers found something ({time.monotonic() - began:.0f} s)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
