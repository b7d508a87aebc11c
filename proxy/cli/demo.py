"""`ostiary demo`: see it work, on this machine only."""

from __future__ import annotations

import argparse
from pathlib import Path

from proxy.demo.layout import Ports, free_ports
from proxy.demo.run import demo

HELP = "try everything on this machine: certificates, identity provider, three apps and the proxy"

_EPILOG = """\
It starts a development identity provider, three sample apps and the proxy, on loopback only, with a private
authority and certificates under certs/ (made when absent), and tells you what to try. Ctrl-C ends all of it.

  ostiary demo                  uses config/ostiary.yaml here; edit it while it runs
  ostiary demo --check          drives the whole tour by itself and says what works: exit code 0 when all does
  ostiary demo --port 9443      another port, in a copy of the configuration under var/
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    usual = Ports()
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="drive the tour, report each step, and end")
    parser.add_argument("--dir", type=Path, default=Path(), help="where config/, certs/ and var/ are (default: here)")
    _port(parser, "--port", usual.https, "the proxy")
    _port(parser, "--http-port", usual.http, "the proxy's redirect to https")
    _port(parser, "--admin-port", usual.admin, "health and metrics")
    _port(parser, "--idp-port", usual.idp, "the first of three ports for identity providers and the CI system")
    _port(parser, "--apps-port", usual.headers, "the first of three ports for the sample apps")
    parser.add_argument("--free-ports", action="store_true", help="choose ports that nobody uses")


def run(args: argparse.Namespace) -> int:
    """Run the demo: 0 all is well, 1 something is not (and it said what)."""
    ports = free_ports() if args.free_ports else _ports(args)
    return demo(args.dir.resolve(), ports, check=args.check)


def _ports(args: argparse.Namespace) -> Ports:
    first = args.apps_port
    return Ports(
        https=args.port,
        http=args.http_port,
        admin=args.admin_port,
        idp=args.idp_port,
        partner=args.idp_port + 1,
        ci=args.idp_port + 2,
        headers=first,
        live=first + 1,
        api=first + 2,
    )


def _port(parser: argparse.ArgumentParser, option: str, default: int, what: str) -> None:
    parser.add_argument(option, type=_number, default=default, metavar="PORT", help=f"{what} (default: {default})")


def _number(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65533:
        raise argparse.ArgumentTypeError(f"{text} is not a port number from 1 to 65533")
    return port
