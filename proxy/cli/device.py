"""`ostiary device`: the agent on an employee's machine: enrol it, report its posture, prove its key to browsers."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import time
import traceback
from datetime import datetime
from pathlib import Path

from proxy.agent import enrolling, running
from proxy.agent.client import connected, login_origin
from proxy.agent.collect import this_system
from proxy.agent.collect.looking import EDR_PROCESSES
from proxy.agent.errors import AgentError, Refused
from proxy.agent.home import Home, usual_folder
from proxy.agent.memory import Remembered
from proxy.agent.reporting import Stopped
from proxy.agent.unit import unit
from proxy.model.report import AGENT_PORT

HELP = "this machine as a device: enrol it, report its posture, prove it to browsers"

EPILOG = f"""\
on an employee's machine:
  ostiary device enrol https://login.example.com --code CODE   with a code from the apps page
  ostiary device report                                        collect, sign and send a report, once
  ostiary device report --watch                                keep on: on a schedule, and when something changes
  ostiary device attest                                        let the TPM vouch for the key, where that is asked
  ostiary device service                                       a systemd user unit that does that
  ostiary device status                                        who this device is, and what it would report now

`report --watch` also answers browsers on 127.0.0.1:{AGENT_PORT}, so that a login from this machine can be tied to it;
`ostiary device prove` does only that. Pages of the enrolled login address are answered, and no others.

The key is made on this machine and stays there: in the TPM 2.0 when there is one and tpm2-tools are installed,
otherwise in a file that only you may read. A TPM is asked to vouch for the key at enrolment, with the certificate
that its maker left in it; `attest` does that again. No root is needed, but on Linux only root can read the serial
number.

exit codes: 0 done, 1 the answer is no (refused, revoked, not enrolled), 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    enrol = actions.add_parser("enrol", help="make a key and tell the proxy, with a one-time code from the apps page")
    enrol.add_argument("url", metavar="URL", help="the login address, such as https://login.example.com")
    enrol.add_argument("--code", required=True, help="the one-time code; `-` reads it from standard input")
    enrol.add_argument("--name", default=platform.node() or "unnamed", help="for people (default: %(default)s)")
    enrol.add_argument("--ca", metavar="FILE", help="PEM file of a private authority to trust instead of the system's")
    enrol.add_argument("--key", choices=("auto", "tpm", "file"), default="auto", help="where (default: %(default)s)")
    enrol.add_argument("--replace", action="store_true", help="begin anew when this machine is enrolled already")

    report = actions.add_parser("report", help="collect, sign and send a report; --watch goes on and answers browsers")
    report.add_argument("--watch", action="store_true", help="until stopped: when due, and at once after a change")

    prove = actions.add_parser("prove", help="answer browsers on loopback, and nothing else; part of `report --watch`")

    attest = actions.add_parser("attest", help="let the TPM vouch for the key; enrolment does it when it can")

    status = actions.add_parser("status", help="who this device is, and what it would report now")
    status.add_argument("--json", action="store_true", help="for programs")

    service = actions.add_parser("service", help="print a systemd user unit; its first lines say how to install it")

    for each in (report, status):
        _edr(each)
    for each in (enrol, report, prove, attest, status, service):
        each.add_argument("--dir", type=Path, help="the agent's folder (default: ~/.local/state/ostiary)")


def _edr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--edr",
        action="append",
        metavar="PROCESS",
        help="name of a process that means `edr_running`, may be repeated (default: those of well-known products)",
    )


def run(args: argparse.Namespace) -> int:
    """Do it. Returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    home = Home((args.dir or usual_folder(os.environ)).absolute())
    try:
        return _ACTIONS[args.action](args, home)
    except Stopped as error:
        print(f"{error} Nothing more is reported.", file=sys.stderr)
    except AgentError as error:
        print(error, file=sys.stderr)
    except Exception:  # noqa: BLE001 -- a fault of ours: another code than a plain no, so a service is started again
        traceback.print_exc()
        return 70
    return 1


def _enrol(args: argparse.Namespace, home: Home) -> int:
    code = (sys.stdin.readline() if args.code == "-" else args.code).strip()
    if not code:
        print("--code: take a code from your apps page", file=sys.stderr)
        return 2
    login = login_origin(args.url)
    authorities = running.pem(args.ca) if args.ca else None
    try:
        with home.lock():
            done = asyncio.run(_enrolled(args, home, code, login, authorities))
    except Refused as error:
        print(enrolling.explained(error), file=sys.stderr)
        return 1
    told = done.remembered
    if done.warning:
        print(f"There is a TPM, but the key is in a file: {done.warning}", file=sys.stderr)
    where = "in the TPM" if told.storage == "tpm" else "in a file"
    print(f"Enrolled at {told.login} as {told.device}, with a key {where}.")
    if done.attest:
        try:
            _attest(args, home)
        except AgentError as error:
            print(f"The TPM does not vouch for the key, so rules that ask for that refuse: {error}", file=sys.stderr)
    if not told.approved:
        print("An administrator must approve it before it counts.")
    print("Next: `ostiary device report`, or `ostiary device service` to have it done for you.")
    return 0


async def _enrolled(
    args: argparse.Namespace, home: Home, code: str, login: str, authorities: str | None
) -> enrolling.Done:
    found = await running.posture(EDR_PROCESSES)
    wish = enrolling.Wish(
        code=code,
        name=args.name[:64],
        os=this_system().name,
        serial=str(found.get("serial", ""))[:64],
        storage=args.key,
        authorities=authorities,
        replace=args.replace,
    )
    async with connected(login, authorities) as proxy:
        return await enrolling.enrol(home, proxy, wish, now=time.time(), environment=os.environ)


def _report(args: argparse.Namespace, home: Home) -> int:
    edr = args.edr or EDR_PROCESSES
    running.enrolled(home)  # nobody enrolled: say so, and leave no folder behind
    with home.lock():
        agent = running.enrolled(home)
        if args.watch:
            asyncio.run(running.watch(agent, edr, _say))
        else:
            asyncio.run(_once(agent, edr))
    return 0


async def _once(agent: running.Enrolled, edr: tuple[str, ...]) -> None:
    async with running.reporting(agent, edr, _say) as reporter:
        accepted = await reporter.once()
    print(accepted.note or "Reported; all is well.")


def _prove(_: argparse.Namespace, home: Home) -> int:
    agent = running.enrolled(home)
    _say(f"Answering pages of {agent.remembered.login} on 127.0.0.1:{AGENT_PORT}.")
    asyncio.run(running.answer(agent))
    return 0


def _attest(_: argparse.Namespace, home: Home) -> int:
    issuer = asyncio.run(running.attest(running.enrolled(home)))
    _say(f"The TPM vouches for the key; its own certificate is by {issuer}.")
    return 0


def _status(args: argparse.Namespace, home: Home) -> int:
    agent = running.enrolled(home)
    told = agent.remembered
    found = asyncio.run(running.posture(args.edr or EDR_PROCESSES))
    if args.json:
        print(json.dumps({**_standing(told), "attributes": found}, indent=2))
    else:
        for name, value in _standing(told).items():
            print(f"{name + ':':<10} {value}")
        print("\nIt would report now; what is not listed could not be found out:")
        for name, value in found.items():
            print(f"  {name:<24} {json.dumps(value)}")
    return 1 if told.stopped else 0


def _standing(told: Remembered) -> dict[str, object]:
    return {
        "device": told.device,
        "name": told.name,
        "login": told.login,
        "key": told.storage,
        "enrolled": _when(told.enrolled),
        "reported": _when(told.reported) if told.reported else "never",
        "note": told.stopped or told.note or ("all is well" if told.reported else ""),
    }


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _service(args: argparse.Namespace, home: Home) -> int:
    program = Path(sys.argv[0]).absolute()
    start = [str(program)] if program.name == "ostiary" else [sys.executable, "-m", "proxy"]
    words = [*start, "device", "report", "--watch", *(("--dir", str(home.path)) if args.dir else ())]
    print(unit(words, home.path), end="")
    return 0


def _say(text: str) -> None:
    print("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text), flush=True)


_ACTIONS = {
    "enrol": _enrol,
    "report": _report,
    "prove": _prove,
    "attest": _attest,
    "status": _status,
    "service": _service,
}
