"""`ostiary devices`: the inventory, for administrators. Works on the stores and the bus directly, proxy or no proxy."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from proxy.cli.workers import announce, confirmation, iso, print_table, printable, when
from proxy.devices import administering
from proxy.devices.attestation import is_attested, statements
from proxy.devices.confirming import confirmed
from proxy.devices.errors import DeviceRefused
from proxy.devices.makers import trusted_makers
from proxy.devices.merge import merge
from proxy.devices.record import NEVER, DeviceRecord
from proxy.devices.store import DeviceStore, device_file, open_device_store
from proxy.model.reasons import Reason
from proxy.sessions.nudge import Delivery
from proxy.sessions.session import SessionEvent
from proxy.sessions.store import SessionStore, StoreUnavailable, bus_folder, open_store
from proxy.settings.load import load
from proxy.settings.problems import ConfigError
from proxy.settings.schema import Configuration

HELP = "list devices; approve, tag and revoke them"
SHORTEST_PREFIX = 6

EPILOG = """\
examples:
  ostiary devices list                           every device: whose, what state, when it reported last
  ostiary devices list --waiting                 those that somebody enrolled and nobody has approved
  ostiary devices list --user ann@example.com    one person's
  ostiary devices show 3f0c61                    everything known of one, and who said it when
  ostiary devices approve 3f0c61                 let it count, after you have checked name, owner and serial number
  ostiary devices revoke 3f0c61                  it counts no longer, and its sessions end, now
  ostiary devices tag 3f0c61 --add kiosk --remove loan
  ostiary devices tag 3f0c61 --ownership company --certificate 9f86d0…   SHA-256 of its client certificate

To approve a device says that it is the one it claims to be: what a management system knows under its serial number is
true of it from then on. An id may be shortened to its first 6 characters. Whoever may write to the state files may do
this; the proxy need not be running.

exit codes: 0 done, 1 no such device, refused, or a running worker did not confirm in time, 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = commands.add_parser("list", help="list devices, newest first")
    listing.add_argument("--user", metavar="WHO", help="only of this e-mail address or provider:subject")
    listing.add_argument("--waiting", action="store_true", help="only those that wait for approval")
    listing.add_argument("--revoked", action="store_true", help="the revoked ones too")

    for name, what in (
        ("show", "everything known of one device"),
        ("approve", "let devices count"),
        ("revoke", "let devices count no longer, and end their sessions"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("devices", metavar="ID", nargs=1 if name == "show" else "+", help="as `list` shows it")
        _common(command)
    _common(listing)

    tag = commands.add_parser("tag", help="add and remove tags; say whose a device is, and its certificate")
    tag.add_argument("devices", metavar="ID", nargs=1, help="as `list` shows it")
    tag.add_argument("--add", metavar="TAG", action="append", default=[], help="may be repeated")
    tag.add_argument("--remove", metavar="TAG", action="append", default=[], help="may be repeated")
    tag.add_argument("--ownership", choices=("company", "personal", "unknown"), help="whose it is")
    tag.add_argument("--certificate", metavar="SHA256", help="of its client certificate; `none` for none")
    _common(tag)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="config/ostiary.yaml", metavar="FILE", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="for programs")


class _Stores(NamedTuple):
    devices: DeviceStore
    sessions: SessionStore
    bus: Path | None


def run(args: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    try:
        configuration = load(Path(args.config), strict_files=False).configuration
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if configuration.state.startswith("memory:"):
        print("state: is `memory:`, so only the running proxy knows its devices; use `sqlite:PATH`", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_act(args, configuration))
    except (StoreUnavailable, DeviceRefused) as error:
        print(f"{str(error)[:1].upper()}{str(error)[1:]}", file=sys.stderr)
        return 1


async def _act(args: argparse.Namespace, configuration: Configuration) -> int:
    stores = _opened(configuration.state)
    try:
        if args.action == "list":
            return await _list(args, stores)
        ids = _meant(args.devices, [each.id for each in await stores.devices.list()])
        if isinstance(ids, str):
            print(ids, file=sys.stderr)
            return 1
        if args.action == "show":
            return await _show(args, stores, ids[0], configuration)
        return await _change(args, stores, ids)
    finally:
        await stores.devices.close()
        await stores.sessions.close()


def _opened(url: str) -> _Stores:
    """No file means that there is nothing in it yet: that is an answer, not a fault."""
    path = Path(url.partition(":")[2])
    devices = open_device_store(url if device_file(path).exists() else "memory:", create=False)
    return _Stores(devices, open_store(url if path.exists() else "memory:", create=False), bus_folder(url))


def _meant(asked: Sequence[str], known: Sequence[str]) -> list[str] | str:
    """The ids that are meant, each written whole or its beginning; a sentence when one means none or several."""
    meant = []
    for one in asked:
        found = [each for each in known if each == one] or [
            each for each in known if len(one) >= SHORTEST_PREFIX and each.startswith(one)
        ]
        if len(found) != 1:
            return f"{one} begins {len(found)} devices: write more of the id" if found else f"There is no device {one}."
        meant.extend(found)
    return meant


# --- look


async def _list(args: argparse.Namespace, stores: _Stores) -> int:
    found = [
        each
        for each in reversed(await stores.devices.list())
        if (args.revoked or not each.revoked)
        and (not args.waiting or not (each.approved or each.revoked))
        and (args.user is None or args.user.lower() == each.email or args.user == each.owner)
    ]
    if args.json:
        print(json.dumps([_summary(each) for each in found], indent=2))
        return 0
    if not found:
        print("There is no such device." if args.user or args.waiting else "No device is known.")
        return 0
    table = [("DEVICE", "STATE", "NAME", "OS", "SERIAL", "WHOSE", "LAST SEEN", "TAGS")]
    for each in found:
        cells = (each.id, _state(each), each.name, each.os, each.serial, each.label, when(each.last_seen))
        table.append((*(printable(cell) or "-" for cell in cells), " ".join(each.tags) or "-"))  # type: ignore[arg-type]  # eight cells
    print_table(table)
    return 0


async def _show(args: argparse.Namespace, stores: _Stores, device: str, configuration: Configuration) -> int:
    record = await stores.devices.get(device)
    if record is None:
        print(f"There is no device {device}.", file=sys.stderr)
        return 1
    now = time.time()
    attested = is_attested(record, trusted_makers(configuration.devices))
    last = {one.source: one for one in await stores.devices.confirmations()}
    every_word = (confirmed(one, last.get(one.source)) for one in statements(record, attested=attested))
    told = [each for one in every_word for each in one.observations()]
    counts = merge(told, configuration.devices.precedence, now).attributes
    sessions = list(await stores.sessions.by_device(device))
    if args.json:
        every = [{"attribute": name, **msgspec.to_builtins(one), "counts": counts[name] is one} for name, one in told]
        print(json.dumps({**_summary(record), "attested": attested, "sessions": sessions, "told": every}, indent=2))
        return 0
    print_table([(f"{name}:", value) for name, value in _lines(record, sessions, attested=attested)])
    table = [("", "ATTRIBUTE", "VALUE", "SOURCE", "OBSERVED", "EXPIRES", "ASSURANCE")]
    for name, one in sorted(told, key=lambda each: each[0]):
        mark = "*" if counts[name] is one and one.expires > now else ""
        ends = "never" if one.expires >= NEVER else when(one.expires) + (" (over)" if one.expires <= now else "")
        value = printable(json.dumps(msgspec.to_builtins(one.value), ensure_ascii=False))
        assurance = one.assurance.name.lower().replace("_", "-")
        table.append((mark, name, value, one.source, when(one.observed), ends, assurance))
    print("\n* counts now" if record.approved else "\n* counts now, but what the agent says only once it is approved")
    print_table(table)
    return 0


def _key(record: DeviceRecord, *, attested: bool) -> str:
    if record.key is None:
        return "none"
    if record.voucher is None:
        return f"{record.thumbprint} (in a {record.storage}, by the device's own word)"
    since = f"by {record.voucher.issuer} on {when(record.voucher.at)}, certificate {record.voucher.certificate}"
    return (
        f"{record.thumbprint} ({'attested' if attested else 'attested, but not trusted any more'}: in a TPM, {since})"
    )


def _lines(record: DeviceRecord, sessions: Sequence[str], *, attested: bool) -> list[tuple[str, str]]:
    serial = record.serial and f"{record.serial} ({'confirmed' if record.vouched else 'its own word'})"
    facts = {
        "device": record.id,
        "also known as": " ".join(record.aliases),
        "state": _state(record),
        "name": record.name,
        "whose": f"{record.label} ({record.owner or 'by a management system'})",
        "serial": serial,
        "key": _key(record, attested=attested),
        "certificate": record.cert_sha256,
        "ownership": record.ownership,
        "tags": " ".join(record.tags),
        "enrolled": when(record.created),
        "last seen": when(record.last_seen),
        "sessions": str(len(sessions)),
    }
    return [(name, printable(value)) for name, value in facts.items() if value]


def _state(record: DeviceRecord) -> str:
    if record.revoked:
        return "revoked"
    return "approved" if record.approved else "waiting" if record.key is not None else "managed"


def _summary(record: DeviceRecord) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in ("id", "owner", "label", "email", "name", "os", "serial")}
    return {
        **plain,
        "state": _state(record),
        "serial_confirmed": record.vouched,
        "aliases": list(record.aliases),
        "ownership": record.ownership,
        "tags": list(record.tags),
        "cert_sha256": record.cert_sha256,
        "key": record.thumbprint,
        "storage": record.storage if record.key is not None else "",
        "tpm": None if record.voucher is None else msgspec.to_builtins(record.voucher),
        "created": iso(record.created),
        "last_seen": iso(record.last_seen),
        "revoked": iso(record.revoked) if record.revoked else None,
    }


# --- change


async def _change(args: argparse.Namespace, stores: _Stores, ids: Sequence[str]) -> int:
    now, changed, ended = time.time(), list[str](), 0
    for device in ids:
        if args.action == "revoke":
            if await administering.revoke(stores.devices, device, now):
                changed.append(device)
            sids = await stores.sessions.by_device(device)
            ended += len(await stores.sessions.revoke_many(sids, Reason.SESSION_REVOKED, now))
        elif args.action == "approve":
            changed.extend(await administering.approve(stores.devices, device))
        else:
            changed.extend(await _tag(args, stores.devices, device))
    for device in changed:
        await stores.sessions.publish(SessionEvent(kind="device", sid=device, at=now))
    delivery = await announce(stores.bus) if changed or ended else Delivery(0, 0)
    _tell(args, ids, changed, ended, delivery)
    return 0 if changed and delivery.complete else 1


async def _tag(args: argparse.Namespace, store: DeviceStore, device: str) -> list[str]:
    record = await administering.tag(
        store,
        device,
        add=args.add,
        remove=args.remove,
        ownership=None if args.ownership is None else args.ownership.replace("unknown", ""),
        certificate=None if args.certificate is None else args.certificate.replace("none", ""),
    )
    return [] if record is None else [device]


def _tell(args: argparse.Namespace, ids: Sequence[str], changed: Sequence[str], ended: int, delivery: Delivery) -> None:
    if args.json:
        told = {"workers": delivery.told, "acknowledged": delivery.acknowledged}
        print(json.dumps({"changed": sorted(changed), "ended": ended, **told}))
        return
    done = {"approve": "approved", "revoke": "revoked", "tag": "changed"}[args.action]
    if not changed:
        print("It was revoked already." if args.action == "revoke" else "Nothing was changed.")
        return
    count = len([each for each in changed if each in ids])
    sessions = f", {ended} session{'s' if ended != 1 else ''} ended" if args.action == "revoke" else ""
    print(f"{count} device{'s' if count != 1 else ''} {done}{sessions}. {confirmation(delivery)}")
