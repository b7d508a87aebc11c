"""`ostiary sessions`: who is logged in, and ending it. Works on the store and the bus directly, proxy or no proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.cli.workers import announce, confirmation, iso, print_table, printable, when
from proxy.model.reasons import Reason
from proxy.sessions.nudge import Delivery
from proxy.sessions.session import Listing
from proxy.sessions.store import SessionStore, StoreUnavailable, bus_folder, open_store
from proxy.settings.load import load
from proxy.settings.problems import ConfigError

HELP = "list sessions; end them at once"

SHORTEST_PREFIX = 8
"""Characters of a session id that `/.ostiary/whoami` and the portal show."""

EPILOG = """\
examples:
  ostiary sessions list                          everybody who is logged in
  ostiary sessions list --user ann@example.com   one person, with the apps opened
  ostiary sessions revoke --user ann@example.com end all of her sessions, now
  ostiary sessions revoke 3f0c…                  end one session, by the id that `list` shows
  ostiary sessions revoke --all                  everybody must log in again

A revoked session is refused at its next request, and its open WebSockets, event streams and transfers end within one
second. Whoever may write to the state file may do this; the proxy need not be running.

exit codes: 0 done, 1 no such session, or a running worker did not confirm in time, 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = commands.add_parser("list", help="list living sessions, newest first")
    _common(listing)
    listing.add_argument("--user", metavar="WHO", help="only this e-mail address, subject or provider:subject")

    revoke = commands.add_parser("revoke", help="end sessions at once")
    _common(revoke)
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("sid", nargs="?", metavar="SID", help="an id as `list` shows it, or at least 8 characters of it")
    which.add_argument("--user", metavar="WHO", help="all sessions of this e-mail address, subject or provider:subject")
    which.add_argument("--all", action="store_true", help="all sessions of everybody")


def run(args: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    try:
        url = load(Path(args.config), strict_files=False).configuration.state
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if url.startswith("memory:"):
        print("state: is `memory:`, so only the running proxy knows its sessions; use `sqlite:PATH`", file=sys.stderr)
        return 2
    try:
        kind, _, path = url.partition(":")
        # No file means that nobody has ever logged in: that is an answer, not a fault.
        fresh = kind == "sqlite" and not Path(path).exists()
        store = open_store("memory:" if fresh else url, create=False)
        return asyncio.run(_act(args, store, bus_folder(url)))
    except StoreUnavailable as error:
        print(error, file=sys.stderr)
        return 1


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="config/ostiary.yaml", metavar="FILE", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for programs")


async def _act(args: argparse.Namespace, store: SessionStore, folder: Path | None) -> int:
    try:
        if args.action == "list":
            return _print_list(await store.list(user=args.user), as_json=args.json)
        return await _revoke(args, store, folder)
    finally:
        await store.close()


async def _revoke(args: argparse.Namespace, store: SessionStore, folder: Path | None) -> int:
    sids = [each.record.sid for each in await store.list(user=args.user)]
    if args.sid:
        sids = _meant(args.sid, sids)
        if len(sids) > 1:
            print(f"{args.sid} begins {len(sids)} sessions: write more of the id", file=sys.stderr)
            return 2
    ended = await store.revoke_many(sids, Reason.SESSION_REVOKED, time.time())
    delivery = await announce(folder) if ended else Delivery(0, 0)
    if args.json:
        told = {"workers": delivery.told, "acknowledged": delivery.acknowledged}
        print(json.dumps({"ended": sorted(ended), **told}))
    else:
        print(_sentence(args, len(ended), delivery))
    found = bool(ended) or args.all
    return 0 if found and delivery.complete else 1


def _meant(asked: str, living: Sequence[str]) -> list[str]:
    """The living sessions with this id, or whose ids begin with it when it is as long as `whoami` shows it."""
    if asked in living or len(asked) < SHORTEST_PREFIX:
        return [asked]
    return [sid for sid in living if sid.startswith(asked)]


def _sentence(args: argparse.Namespace, ended: int, delivery: Delivery) -> str:
    if not ended:
        return _nobody(args)
    done = f"Ended {ended} session{'s' if ended != 1 else ''}."
    return f"{done} {confirmation(delivery)}"


def _nobody(args: argparse.Namespace) -> str:
    if args.all:
        return "There are no living sessions."
    return f"There is no living session {args.sid}." if args.sid else f"There is no living session of {args.user}."


def _print_list(found: Sequence[Listing], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([_row(each) for each in found], indent=2))
        return 0
    if not found:
        print("Nobody is logged in.")
        return 0
    table = [("SESSION", "WHO", "PROVIDER", "CREATED", "LAST SEEN", "EXPIRES", "HOSTS")]
    table += [
        (
            each.record.sid,
            printable(each.record.identity.email or each.record.identity.subject),
            each.record.provider,
            when(each.record.created),
            when(each.record.last_seen),
            when(each.record.expires),
            " ".join(each.hosts) or "-",
        )
        for each in found
    ]
    print_table(table)
    return 0


def _row(each: Listing) -> dict[str, object]:
    record = each.record
    return {
        "sid": record.sid,
        "email": record.identity.email,
        "subject": record.identity.subject,
        "name": record.identity.name,
        "provider": record.provider,
        "created": iso(record.created),
        "last_seen": iso(record.last_seen),
        "expires": iso(record.expires),
        "hosts": list(each.hosts),
        "device": None if record.device is None else {"id": record.device.device, "binding": record.device.binding},
    }
