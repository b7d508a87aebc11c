"""`ostiary certs`: a certificate authority for a small company, in one folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proxy.pki import CertificateFolder, Entry, PkiError
from proxy.pki.authority import DAY

HELP = "make a certificate authority; issue and revoke certificates"

_EPILOG = """\
a first set-up:
  ostiary certs init --only example.com             two authorities: for servers, for clients
  ostiary certs server '*.apps.example.com' --name apps
  ostiary certs spiffe spiffe://example.com/billing
  ostiary certs revoke certs/billing.crt            refused from now on
  ostiary certs list

where what goes (in ostiary.yaml):
  tls.certificates   apps.crt, apps.key             what the proxy shows
  tls.client_ca      clients-ca.crt                 whose certificates it accepts from clients
  tls.client_crl     clients.crl                    … and which of them no more
  servers-ca.crt     goes to browsers and programs that should trust the proxy

Keep the two …-ca.key files away from the proxy's machine when you can: whoever has them can be anybody.
A revocation list runs out after 30 days: `ostiary certs crl` signs a fresh one; run it from a timer.
"""

Command = Callable[[CertificateFolder, argparse.Namespace, float], int]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="certs_command", metavar="COMMAND", required=True)

    init = _add(commands, "init", _init, "make an authority for server certificates and one for client certificates")
    init.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="DOMAIN",
        help="the server authority can vouch for names in this domain only (repeat for several). "
        "With it, trusting the authority in a browser risks nothing outside the domain",
    )
    init.add_argument("--title", default="private", help="how the authorities call themselves (default: private)")
    _days(init, 5 * 365)
    _force(init, "replace authorities that are there; everything they issued becomes worthless")

    server = _add(commands, "server", _server, "issue a certificate for a TLS server")
    server.add_argument("names", nargs="+", metavar="NAME", help="app.example.com, '*.apps.example.com', 10.0.0.5")
    client = _add(commands, "client", _client, "issue a client certificate that carries a DNS name")
    client.add_argument("client", metavar="NAME", help="batch.example.com; rules name it in `services`")
    spiffe = _add(commands, "spiffe", _spiffe, "issue a client certificate that carries a SPIFFE ID")
    spiffe.add_argument("id", metavar="ID", help="spiffe://example.org/ci/deploy; rules name it in `services`")
    for issuing in (server, client, spiffe):
        issuing.add_argument("--name", dest="file", metavar="FILE", help="file name (default: made from NAME)")
        _days(issuing, 90)
        _force(issuing, "replace the files; the certificate they held stays valid until you revoke it")

    revoke = _add(commands, "revoke", _revoke, "revoke a certificate and sign a new revocation list at once")
    revoke.add_argument("what", metavar="SERIAL|FILE", help="a serial number from `list`, or a certificate file")
    crl = _add(commands, "crl", _crl, "sign fresh revocation lists, before the last ones run out")
    _days(crl, 30)
    listing = _add(commands, "list", _list, "list what was issued here, and what became of it")
    listing.add_argument("--json", action="store_true", help="as JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Run one command: 0 done, 1 refused."""
    command: Command = args.certs_run
    umask = os.umask(0o077)
    os.umask(umask | 0o022)  # whoever may write to the folder may replace an authority
    try:
        return command(CertificateFolder(args.dir), args, time.time())
    except BrokenPipeError:
        raise  # `proxy.cli.main` knows what to do
    except (PkiError, OSError) as error:
        print(f"ostiary certs: {error}", file=sys.stderr)
        return 1
    finally:
        os.umask(umask)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("--dir", type=Path, default=Path("certs"), help="the folder (default: certs)")
    parser.set_defaults(certs_run=run)
    return parser


def _days(parser: argparse.ArgumentParser, default: int) -> None:
    parser.add_argument("--days", type=_positive, default=default, help=f"how long it is good for (default: {default})")


def _force(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--force", action="store_true", help=text)


def _positive(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36500:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 1 to 36500")
    return days


def _init(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    folder.init(now=now, name=args.title, domains=args.only, lifetime=args.days * DAY, force=args.force)
    print(f"{folder.path}/servers-ca.crt   let browsers and programs trust this one")
    print(f"{folder.path}/clients-ca.crt   the proxy's client_ca")
    print(f"{folder.path}/clients.crl      the proxy's client_crl")
    return 0


def _server(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    return _issued(folder, folder.server(args.names, now=now, **_options(args)))


def _client(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    return _issued(folder, folder.client(args.client, now=now, **_options(args)))


def _spiffe(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    return _issued(folder, folder.spiffe(args.id, now=now, **_options(args)))


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {"file": args.file, "lifetime": args.days * DAY, "force": args.force}


def _issued(folder: CertificateFolder, entry: Entry) -> int:
    certificate = folder.path / entry.file
    print(f"{certificate} and {certificate.with_suffix('.key').name}: {', '.join(entry.names)}")
    print(f"serial {entry.serial}, good until {_day(entry.not_after)}")
    return 0


def _revoke(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    entry = folder.revoke(args.what, now=now)
    print(f"{', '.join(entry.names)} (serial {entry.serial}) is revoked; {folder.path}/{entry.role}.crl says so")
    return 0


def _crl(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    for role in ("servers", "clients"):
        path = folder.crl(role, now=now, lifetime=args.days * DAY)
        print(f"{path}   good until {_day(now + args.days * DAY)}")
    return 0


def _list(folder: CertificateFolder, args: argparse.Namespace, now: float) -> int:
    entries = folder.entries()
    if args.json:
        print(json.dumps([_plain(entry, now) for entry in entries], indent=1))
        return 0
    if not entries:
        print(f"nothing was issued in {folder.path} yet")
    for entry in entries:
        names = ", ".join(entry.names)
        print(f"{entry.state(now):8} {entry.kind:7} until {_day(entry.not_after)}  {entry.serial:>40}  {names}")
    return 0


def _plain(entry: Entry, now: float) -> dict[str, object]:
    return {
        "serial": entry.serial,
        "kind": entry.kind,
        "names": list(entry.names),
        "state": entry.state(now),
        "not_before": entry.not_before,
        "not_after": entry.not_after,
        "revoked": entry.revoked,
        "sha256": entry.sha256,
        "file": entry.file,
    }


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
