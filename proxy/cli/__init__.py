"""The command line: one module per command group, imported only when it is called.

Each module offers `HELP`, `configure(parser)` and `run(args) -> int`: 0 fine, 1 the answer is no, 2 wrong use.
To add a command: write `proxy/cli/<name>.py` and add its row to `COMMANDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys

from proxy import __version__

COMMANDS: dict[str, str] = {
    "serve": "run the proxy",
    "demo": "try everything on this machine: certificates, identity provider, three apps and the proxy",
    "check": "check the configuration, or write its JSON Schema for editors",
    "certs": "make a certificate authority; issue and revoke certificates",
    "sessions": "list sessions; end them at once",
    "devices": "list devices; approve, tag and revoke them",
    "factors": "list second factors; reset somebody's",
    "device": "this machine as a device: enrol it, report its posture, prove it to browsers",
}

EPILOG = """\
first steps:
  ostiary demo                          see it work, on this machine only
  ostiary check config/ostiary.yaml     is the configuration right?
  ostiary serve --config config/ostiary.yaml

exit codes: 0 fine, 1 the answer is no, 2 wrong use
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="ostiary",
        description="Ostiary, the doorkeeper: an identity-aware reverse proxy that replaces the VPN.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ostiary {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    called = next((word for word in words if word in COMMANDS), None)
    for name, summary in COMMANDS.items():
        child = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name == called:
            module = importlib.import_module(f"proxy.cli.{name}")
            module.configure(child)
            child.set_defaults(run=module.run)
    args = parser.parse_args(words)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _let_go_of_output()
        return 141
    return code


def _let_go_of_output() -> None:
    """Whoever read our output has gone (`| head`): that is no error, and Python must not stumble over it at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
