"""`ostiary serve`: run the proxy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "run the proxy"

_EPILOG = """\
signals:
  SIGHUP          read the configuration again (it is also read when a file changes)
  SIGTERM, ^C     accept no more, let requests under way finish (limits.shutdown), end; twice: end at once

A configuration that does not check never replaces the one in force; the log says why. A worker that dies is replaced.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("config/ostiary.yaml"),
        metavar="FILE",
        help="the configuration (default: %(default)s)",
    )
    parser.add_argument(
        "--log-format", choices=("auto", "text", "json"), default="auto", help="auto: text on a terminal, else JSON"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from proxy.app.errors import CannotStart
    from proxy.app.supervisor import serve
    from proxy.net.sockets import AddressUnusable
    from proxy.settings.problems import ConfigError, render
    from proxy.telemetry import log

    log.configure(format=args.log_format, level=args.log_level)
    try:
        return serve(args.config, log_format=args.log_format, log_level=args.log_level)
    except ConfigError as error:
        print(render(error.problems, colour=sys.stderr.isatty()), file=sys.stderr)
        print(f"ostiary: cannot start: {args.config} has mistakes", file=sys.stderr)
    except (CannotStart, AddressUnusable, OSError) as error:
        print(f"ostiary: cannot start: {error}", file=sys.stderr)
    return 1
