"""`ostiary factors`: who has enrolled what, and forgetting it. Works on the stores and the record directly."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from proxy.audit.event import Event
from proxy.audit.journal import Journal
from proxy.authn.factors import Factor, FactorStore, open_factor_store
from proxy.authn.factors.store import factor_file
from proxy.cli.workers import announce, confirmation, iso, print_table, printable, when
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome
from proxy.sessions.nudge import Delivery
from proxy.sessions.store import SessionStore, StoreUnavailable, bus_folder, open_store
from proxy.settings.load import load
from proxy.settings.problems import ConfigError
from proxy.settings.schema import Configuration

HELP = "list second factors; reset somebody's"

EPILOG = """\
examples:
  ostiary factors list                        everybody who has enrolled one
  ostiary factors list ann@example.com        one person, by e-mail address, subject or provider:subject
  ostiary factors reset corp:8f31             her phone is lost: forget her passkeys, apps and recovery codes

After a reset the person enrols anew, from the apps page, after a fresh login: make sure first that it is the person who
asks. Her sessions go on without what the second factor had opened. A reset is written to the record. Whoever may write
to the state and the record may do this; the proxy need not be running.

An e-mail address finds people who have logged in within the last day; else write provider:subject, as `list` shows it.

exit codes: 0 done, 1 nobody has any, it could not be recorded, or a running worker did not confirm, 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = commands.add_parser("list", help="list enrolled factors, by person")
    listing.add_argument(
        "user", nargs="?", metavar="USER", help="only this e-mail address, subject or provider:subject"
    )
    reset = commands.add_parser("reset", help="forget all second factors of one person")
    reset.add_argument("user", metavar="USER", help="e-mail address, subject or provider:subject")
    for each in (listing, reset):
        each.add_argument("--config", default="config/ostiary.yaml", metavar="FILE", help="default: %(default)s")
        each.add_argument("--json", action="store_true", help="for programs")


class _Stores(NamedTuple):
    factors: FactorStore
    sessions: SessionStore


def run(args: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    try:
        configuration = load(Path(args.config), strict_files=False).configuration
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if configuration.state.startswith("memory:"):
        print("state: is `memory:`, so only the running proxy knows them; use `sqlite:PATH`", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_act(args, configuration))
    except StoreUnavailable as error:
        print(error, file=sys.stderr)
        return 1


async def _act(args: argparse.Namespace, configuration: Configuration) -> int:
    stores = _opened(configuration.state)
    try:
        found = await _found(stores, args.user)
        if args.action == "list":
            return _print(found, args)
        return await _reset(args, stores, found, configuration)
    finally:
        await stores.factors.close()
        await stores.sessions.close()


def _opened(state: str) -> _Stores:
    """No file means that nobody has ever enrolled or logged in: that is an answer, not a fault."""
    path = Path(state.partition(":")[2])
    return _Stores(
        open_factor_store(state if factor_file(path).exists() else "memory:", create=False),
        open_store(state if path.exists() else "memory:", create=False),
    )


async def _found(stores: _Stores, user: str | None) -> Sequence[Factor]:
    """The factors of everybody whom `user` means."""
    if user is None or not (people := await _people(stores, user)):
        return await stores.factors.list(user)
    return [each for each in await stores.factors.list() if each.person in people]


async def _people(stores: _Stores, user: str) -> set[str]:
    """Whom an e-mail address means, as far as sessions know."""
    if "@" not in user:
        return set()
    known = await stores.sessions.list(user=user, ended=True)
    return {f"{each.record.provider}:{each.record.identity.subject}" for each in known}


async def _reset(args: argparse.Namespace, stores: _Stores, found: Sequence[Factor], to: Configuration) -> int:
    people = sorted({each.person for each in found})
    if len(people) > 1:
        print(f"{printable(args.user)} means {len(people)} people: write one of {', '.join(people)}", file=sys.stderr)
        return 2
    if not people:
        print(f"nobody called {printable(args.user)} has a second factor", file=sys.stderr)
        return 1
    (person,) = people
    number = await stores.factors.reset(person)
    recorded = await asyncio.to_thread(_record, to, person, number)
    weakened = await _weaken(stores.sessions, person)
    delivery = await announce(bus_folder(to.state)) if weakened else Delivery(0, 0)
    if args.json:
        told = {"workers": delivery.told, "acknowledged": delivery.acknowledged}
        print(json.dumps({"person": person, "factors": number, "sessions": weakened, "recorded": recorded, **told}))
    else:
        what = "1 second factor" if number == 1 else f"{number} second factors"
        print(f"Forgot {what} of {printable(person)}. {confirmation(delivery) if weakened else ''}".rstrip())
    if not recorded:
        print(f"This could not be written to the record ({to.audit.file}): write it down yourself.", file=sys.stderr)
    return 0 if recorded and delivery.complete else 1


async def _weaken(sessions: SessionStore, person: str) -> int:
    """Take out of the person's sessions what the forgotten factors had shown. Returns how many it concerned."""
    weakened = 0
    for each in await sessions.list(user=person):
        record = await sessions.get(each.record.sid)
        if record is None or record.ended is not None or not record.identity.second_factor:
            continue
        identity = msgspec.structs.replace(record.identity, second_factor=(), second_factor_at=None)
        weakened += await sessions.update(msgspec.structs.replace(record, identity=identity))
    return weakened


def _record(to: Configuration, person: str, number: int) -> bool:
    """One line of the record. False when it could not be written."""
    journal = Journal(to.audit, worker=-1)
    event = Event(
        time=time.time(),
        type="factor",
        outcome=Outcome.ALLOW,
        reason=Reason.OWN_PAGE,
        kind="person",
        identity=person,
        note=f"reset: {number} forgotten, by {getpass.getuser()} on the command line",
    )
    journal.record(event)
    written = journal.flush()
    journal.close()
    return written


def _print(found: Sequence[Factor], args: argparse.Namespace) -> int:
    if args.json:
        rows = [
            {
                "person": each.person,
                "id": each.id,
                "kind": each.kind,
                "name": each.name,
                "synced": each.synced,
                "created": iso(each.created),
                "last_used": iso(each.last_used) if each.last_used else None,
            }
            for each in found
        ]
        print(json.dumps({"factors": rows}))
    elif found:
        table = [("PERSON", "KIND", "ADDED", "LAST USED", "NAME")]
        for each in found:
            used = when(each.last_used) if each.last_used else "never"
            table.append((printable(each.person), each.kind, when(each.created), used, printable(each.name)))
        print_table(table)
    else:
        print("Nobody has a second factor." if args.user is None else "None.")
    return 0 if found or args.user is None else 1
