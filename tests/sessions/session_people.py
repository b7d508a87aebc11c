"""What the session tests share: a clock to turn by hand, people, stores of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.model.identity import Identity
from proxy.sessions.memory import MemoryStore
from proxy.sessions.session import SessionRecord
from proxy.sessions.sqlite import SqliteStore
from proxy.sessions.store import SessionStore

NOON = 1_800_000_000.0


class Clock:
    """Wall and monotonic time, turned by hand."""

    def __init__(self) -> None:
        self.wall = NOON
        self.steady = 1000.0

    def __call__(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_(self, seconds: float) -> float:
        """Time passes as it should."""
        self.wall += seconds
        self.steady += seconds
        return self.wall

    def jump(self, seconds: float) -> float:
        """Somebody sets the clock."""
        self.wall += seconds
        return self.wall


@pytest.fixture
def clock() -> Clock:
    return Clock()


def person(name: str = "ann", **changes: object) -> Identity:
    fields = {"kind": "person", "subject": f"sub-{name}", "provider": "corp", "email": f"{name}@example.com"}
    return Identity(**{**fields, "groups": frozenset({"sre"}), **changes})


def record(sid: str = "s1", name: str = "ann", **changes: object) -> SessionRecord:
    fields = {
        "sid": sid,
        "identity": person(name, session=sid),
        "provider": "corp",
        "provider_sid": f"op-{sid}",
        "created": NOON,
        "authenticated_at": NOON - 5,
        "expires": NOON + 43200,
        "last_seen": NOON,
        "refresh_at": NOON + 300,
        "tokens": b"sealed",
    }
    return SessionRecord(**{**fields, **changes})


# A further store becomes a row here and must pass test_store_contract.py as it stands.
KINDS: dict[str, Callable[[Path], SessionStore]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SqliteStore(folder / "state.db"),
}


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SessionStore]:
    opened = KINDS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "state.db", patience=0.2)
    yield opened
    await opened.close()
