"""Fuzzer of sealed values and tickets: `python tests/fuzz/fuzz_ticket.py [seconds] [seed]`. Exit 1 on a finding.

Mutates genuine tickets (bits, spelling, splices of two, truncation) and redeems them: only an untouched ticket,
shown to its own host by its own browser in time and for the first time, may be taken; all else is TicketRefused.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.sessions.memory import MemoryStore
from proxy.sessions.seal import Sealer
from proxy.sessions.ticket import TicketRefused, issue, redeem

NOW = 1_800_000_000.0
HOST, BIND = "app.example.com", "b" * 43
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \n\x00é"


def mutated(rng: random.Random, token: str, other: str) -> str:
    """The token after one to three changes."""
    for _ in range(rng.randint(1, 3)):
        at, to = sorted((rng.randrange(len(token) + 1), rng.randrange(len(token) + 1)))
        token = rng.choice(
            [
                token[:at] + rng.choice(ALPHABET) + token[at + 1 :],
                token[:at] + rng.choice(ALPHABET) + token[at:],
                token[:at] + token[to:],
                token[:at] + other[at:],
                token[:at] + token[at:to] * 2 + token[to:],
            ]
        )
    return token


async def taken(sealer: Sealer, store: MemoryStore, token: str, host: str, bind: str, now: float) -> bool:
    """Was it accepted? Any error but TicketRefused is a finding and propagates."""
    try:
        await redeem(sealer, store, token, host=host, bind=bind, now=now)
    except TicketRefused:
        return False
    return True


async def case(rng: random.Random, sealer: Sealer) -> str | None:
    """One ticket and what is done to it. Returns what went wrong, or None."""
    store = MemoryStore()
    fresh = [issue(sealer, sid=str(n), host=HOST, bind=BIND, return_path="/x", now=NOW) for n in range(2)]
    changed = mutated(rng, *fresh)
    if changed not in fresh and await taken(sealer, store, changed, HOST, BIND, NOW):
        return f"a changed ticket was taken: {changed!r}"
    host, bind = rng.choice([HOST, HOST + ".", "other"]), rng.choice([BIND, BIND[:-1], ""])
    now = NOW + rng.uniform(-200, 200)
    right = host == HOST and bind == BIND and -60 <= now - NOW <= 60
    if await taken(sealer, store, fresh[0], host, bind, now) is not right:
        return f"taken is not {right}: host={host} bind={bind!r} age={now - NOW}"
    if right and await taken(sealer, store, fresh[0], host, bind, now):
        return "a ticket was taken twice"
    return None


async def main(seconds: float, seed: int) -> int:
    """Run for a while. Returns the exit code."""
    sys.stdout.write(f"fuzz_ticket: seed {seed}\n")
    rng, sealer = random.Random(seed), Sealer(b"k" * 32)
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for _ in range(100):
            if found := await case(rng, sealer):
                sys.stdout.write(f"{found}\n")
                return 1
        tried += 100
    sys.stdout.write(f"fuzz_ticket: {tried} tickets, nothing found\n")
    return 0


if __name__ == "__main__":
    words = [*sys.argv[1:], *["5", str(random.randrange(1 << 32))][len(sys.argv) - 1 :]]
    sys.exit(asyncio.run(main(float(words[0]), int(words[1]))))
