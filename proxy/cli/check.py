"""`ostiary check`: is the configuration right? And its JSON Schema for editors."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from proxy.settings.json_schema import written_schema
from proxy.settings.load import check, check_routes_file, is_routes_file
from proxy.settings.problems import Problem, render
from proxy.settings.schema import Route, Settings

HELP = "check the configuration, or write its JSON Schema for editors"

EPILOG = """\
examples:
  ostiary check                                   config/ostiary.yaml and the routes it names
  ostiary check /etc/ostiary/ostiary.yaml         another configuration
  ostiary check config/routes/grafana.yaml        one routes file by itself
  ostiary check --json | jq .problems             for programs
  ostiary check --strict-files                    as `serve` does: missing certificates and secrets are errors
  ostiary check --schema > config/ostiary.schema.json

Problems are written to standard error as file:line:column, the summary to standard output.
exit codes: 0 fine (there may be warnings), 1 there are errors, 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("path", nargs="?", metavar="PATH", help="configuration, its folder, or one routes file")
    parser.add_argument(
        "--config", metavar="PATH", default="config/ostiary.yaml", help="the same (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="write the result as JSON to standard output")
    parser.add_argument("--schema", action="store_true", help="write the JSON Schema of the configuration and stop")
    parser.add_argument(
        "--strict-files", action="store_true", help="missing certificates, keys and secrets are errors, not warnings"
    )


def run(args: argparse.Namespace) -> int:
    """0 fine, 1 there are errors, 2 no such file."""
    if args.schema:
        sys.stdout.write(written_schema())
        return 0
    path = Path(args.path or args.config)
    if path.is_dir():
        path /= "ostiary.yaml"
    if not path.exists():
        print(f"ostiary check: {path} does not exist; name a configuration: ostiary check PATH", file=sys.stderr)
        return 2
    if is_routes_file(path):
        routes, problems = check_routes_file(path)
        return _answer(args, path, problems, _counts(routes), revision="")
    checked = check(path, strict_files=args.strict_files, now=time.time())
    settings = checked.settings
    counts = {} if settings is None else _counts(settings.routes) | _more_counts(settings)
    return _answer(args, path, checked.problems, counts, revision=settings.revision if settings else "")


def _answer(
    args: argparse.Namespace, path: Path, problems: tuple[Problem, ...], counts: dict[str, int], *, revision: str
) -> int:
    errors = sum(problem.severity == "error" for problem in problems)
    if args.json:
        result = {
            "ok": not errors, "path": str(path), "revision": revision, "counts": counts,
            "problems": [msgspec.structs.asdict(problem) for problem in problems],
        }  # fmt: skip
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
        return 1 if errors else 0
    if problems:
        print(render(problems, colour=sys.stderr.isatty()), file=sys.stderr)
    warnings = len(problems) - errors
    if errors:
        also = f", {_count(warnings, 'warning')}" if warnings else ""
        print(f"{path}: {_count(errors, 'error')}{also}; nothing was changed", file=sys.stderr)
        return 1
    listed = ", ".join(_count(count, noun) for noun, count in counts.items())
    print(f"{path}: fine — {listed}" + (f" — {_count(warnings, 'warning')}" if warnings else ""))
    return 0


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _counts(routes: tuple[Route, ...]) -> dict[str, int]:
    return {"route": len(routes), "rule": sum(len(route.allow) + len(route.deny) for route in routes)}


def _more_counts(settings: Settings) -> dict[str, int]:
    configuration = settings.configuration
    return {"listener": len(configuration.listeners), "login provider": len(configuration.login.providers)}
