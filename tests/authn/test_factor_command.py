"""`ostiary factors`, as an administrator uses it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from proxy.authn.factors import Factor, open_factor_store
from proxy.cli import main
from proxy.model.identity import Identity
from proxy.sessions.session import SessionRecord
from proxy.sessions.store import open_store

NOON = 1_800_000_000.0
CONFIG = """
listeners: [{{address: "127.0.0.1:8443", cleartext: proxy}}]
workers: 1
routes: {folder}/routes/
login: {{url: "https://login.apps.test:8443"}}
assertion: {{key: {folder}/a.key}}
state: sqlite:{folder}/state.db
audit: {{file: {folder}/audit.jsonl}}
"""
ROUTE = 'routes: [{name: app, from: "https://app.apps.test:8443", to: "http://127.0.0.1:3000"}]\n'


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "ostiary.yaml"
    file.write_text(CONFIG.format(folder=tmp_path), "utf-8")
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "app.yaml").write_text(ROUTE, "utf-8")
    return str(file)


def enrolled(folder: Path, *people: str) -> None:
    async def work() -> None:
        store = open_factor_store(f"sqlite:{folder / 'state.db'}")
        for number, person in enumerate(people):
            key = f"k{number}".encode()
            await store.add(
                Factor(id="f1", person=person, kind="passkey", name="Key", created=NOON, secret=b"p", key=key)
            )
        await store.close()

    asyncio.run(work())


def session(folder: Path, **identity: object) -> None:
    async def work() -> None:
        store = open_store(f"sqlite:{folder / 'state.db'}")
        who = Identity(kind="person", subject="ann", provider="corp", email="ann@example.com", session="s1")
        record = SessionRecord(
            sid="s1",
            identity=msgspec.structs.replace(who, **identity),
            provider="corp",
            provider_sid="",
            created=NOON,
            authenticated_at=NOON,
            expires=NOON + 1e8,
            last_seen=NOON,
            refresh_at=NOON + 1e8,
        )
        await store.create(record)
        await store.close()

    asyncio.run(work())


def second_factor(folder: Path) -> tuple[str, ...]:
    async def work() -> tuple[str, ...]:
        store = open_store(f"sqlite:{folder / 'state.db'}")
        record = await store.get("s1")
        await store.close()
        assert record is not None
        return record.identity.second_factor

    return asyncio.run(work())


def test_before_anybody_has_one(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "list", "--config", config]) == 0
    assert "Nobody has a second factor" in capsys.readouterr().out
    assert main(["factors", "reset", "ann", "--config", config]) == 1
    assert "nobody called ann has a second factor" in capsys.readouterr().err


def test_they_are_listed_without_any_secret(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enrolled(tmp_path, "corp:ann", "partner:bob")
    assert main(["factors", "list", "--config", config, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["factors"]
    assert [(row["person"], row["kind"], row["name"]) for row in rows] == [
        ("corp:ann", "passkey", "Key"),
        ("partner:bob", "passkey", "Key"),
    ]
    assert "secret" not in rows[0]
    assert main(["factors", "list", "bob", "--config", config]) == 0
    said = capsys.readouterr().out
    assert "partner:bob" in said
    assert "corp:ann" not in said
    assert main(["factors", "list", "nobody", "--config", config]) == 1


def test_a_reset_forgets_weakens_sessions_and_is_recorded(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(tmp_path, "corp:ann", "partner:bob")
    session(tmp_path, second_factor=("hwk", "user"), second_factor_at=NOON)

    assert main(["factors", "reset", "ann@example.com", "--config", config]) == 0

    assert "Forgot 1 second factor of corp:ann. No worker is running." in capsys.readouterr().out
    assert second_factor(tmp_path) == ()
    assert main(["factors", "list", "corp:ann", "--config", config]) == 1
    assert main(["factors", "list", "bob", "--config", config]) == 0
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text("utf-8").splitlines()]
    (line,) = [each for each in lines if each.get("type") == "factor"]
    assert line["identity"] == "corp:ann"
    assert line["note"].startswith("reset: 1 forgotten, by ")


def test_a_name_that_means_several_people_resets_nobody(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(tmp_path, "corp:ann", "partner:ann")
    assert main(["factors", "reset", "ann", "--config", config]) == 2
    assert "corp:ann, partner:ann" in capsys.readouterr().err
    assert main(["factors", "reset", "partner:ann", "--config", config]) == 0
    assert main(["factors", "list", "corp:ann", "--config", config]) == 0


def test_a_state_in_memory_is_the_proxys_own(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(config)
    file.write_text(CONFIG.format(folder=tmp_path).replace(f"sqlite:{tmp_path}/state.db", "'memory:'"), "utf-8")
    assert main(["factors", "list", "--config", str(file)]) == 2
    assert "only the running proxy knows them" in capsys.readouterr().err
