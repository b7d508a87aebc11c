"""`ostiary devices`, as an admin meets it: with and without a running proxy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from device_people import NOON, person, record

from proxy.cli import main
from proxy.devices.record import DeviceRecord, Statement
from proxy.devices.store import open_device_store
from proxy.model.device import Assurance, Bound
from proxy.model.report import Key
from proxy.sessions.session import SessionRecord
from proxy.sessions.store import open_store

CONFIG = """\
listeners: [{address: "127.0.0.1:8443", cleartext: proxy}]
login: {url: "https://login.apps.localhost:8443"}
assertion: {key: assertion.key}
state: STATE
routes: routes/
"""
ROUTE = """\
routes: [{name: app, from: "https://app.apps.localhost:8443", to: "http://127.0.0.1:3000"}]
"""
KEY = Key(kty="EC", crv="P-256", x="x" * 43, y="y" * 43)
ANNS = record("aaaaaa11", name="studio", os="linux", serial="SN-1", key=KEY, thumbprint="t1")
BOBS = record(
    "bbbbbb22", name="\x1b[2Jbob\u202e", os="macos", key=KEY, thumbprint="t2", approved=True, owner="corp:sub-bob",
    label="bob", email="bob@example.com", created=NOON + 60,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ostiary.yaml").write_text(CONFIG.replace("STATE", "sqlite:var/state.db"))
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "app.yaml").write_text(ROUTE)
    return tmp_path


def ostiary(folder: Path, *words: str) -> int:
    return main(["devices", *words, "--config", str(folder / "ostiary.yaml")])


def write(folder: Path, *records: DeviceRecord) -> None:
    async def all_of_them() -> None:
        store = open_device_store(f"sqlite:{folder}/var/state.db")
        for each in records:
            await store.add(each)
        await store.close()

    asyncio.run(all_of_them())


def read(folder: Path, device: str) -> DeviceRecord | None:
    async def one() -> DeviceRecord | None:
        store = open_device_store(f"sqlite:{folder}/var/state.db")
        found = await store.get(device)
        await store.close()
        return found

    return asyncio.run(one())


class TestLook:
    def test_nobody_has_enrolled_any(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert ostiary(folder, "list") == 0
        assert capsys.readouterr().out == "No device is known.\n"
        assert not (folder / "var").exists(), "looking makes nothing"

    def test_everyone(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, ANNS, BOBS)
        assert ostiary(folder, "list") == 0
        head, bob, ann = capsys.readouterr().out.splitlines()
        assert head.split()[:4] == ["DEVICE", "STATE", "NAME", "OS"]
        assert bob.split()[:2] == ["bbbbbb22", "approved"]
        assert ann.split()[:6] == ["aaaaaa11", "waiting", "studio", "linux", "SN-1", "ann"]
        assert "\x1b" not in bob
        assert "\u202e" not in bob

    def test_some(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, ANNS, BOBS, record("cccccc33", revoked=NOON))
        for words, ids in (
            (["--waiting"], ["aaaaaa11"]),
            (["--user", "BOB@example.com"], ["bbbbbb22"]),
            (["--user", "corp:sub-ann"], ["aaaaaa11"]),
            (["--revoked"], ["bbbbbb22", "cccccc33", "aaaaaa11"]),
            (["--user", "nobody"], []),
        ):
            assert ostiary(folder, "list", "--json", *words) == 0
            assert [each["id"] for each in json.loads(capsys.readouterr().out)] == ids

    def test_one_and_who_said_what(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        said = [
            Statement(source=source, observed=NOON, expires=9e9, assurance=sure, values={"firewall": value})
            for source, sure, value in (
                ("agent", Assurance.SELF_REPORTED, True),
                ("management:intune", Assurance.MANAGED, False),
            )
        ]
        write(
            folder, record("aaaaaa11", name="studio", key=KEY, thumbprint="t1", approved=True, statements=tuple(said))
        )
        assert ostiary(folder, "show", "aaaaaa") == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines() if "firewall" in line]
        assert [line[:4] for line in lines] == [
            ["firewall", "true", "agent", lines[0][3]],
            ["*", "firewall", "false", "management:intune"],
        ]
        assert ostiary(folder, "show", "aaaaaa11", "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["state"] == "approved"
        counts = {each["source"]: each["counts"] for each in shown["told"] if each["attribute"] == "firewall"}
        assert counts == {"agent": False, "management:intune": True}


class TestChange:
    def test_approve(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, ANNS)
        assert ostiary(folder, "approve", "aaaaaa11") == 0
        assert capsys.readouterr().out == "1 device approved. No worker is running.\n"
        kept = read(folder, "aaaaaa11")
        assert (kept.approved, kept.vouched) == (True, True)

    def test_revoke_ends_its_sessions(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async def session() -> None:
            store = open_store(f"sqlite:{folder}/var/state.db")
            times = dict.fromkeys(("created", "authenticated_at", "last_seen"), NOON)
            await store.create(
                SessionRecord(
                    sid="s1", identity=person(), provider="corp", provider_sid="", expires=9e12, refresh_at=9e12,
                    device=Bound(device="aaaaaa11", binding="agent"), **times,
                )
            )  # fmt: skip
            await store.close()

        write(folder, ANNS)
        asyncio.run(session())
        assert ostiary(folder, "revoke", "aaaaaa11", "--json") == 0
        told = {"changed": ["aaaaaa11"], "ended": 1, "workers": 0, "acknowledged": 0}
        assert json.loads(capsys.readouterr().out) == told
        assert read(folder, "aaaaaa11").revoked > 0
        assert ostiary(folder, "revoke", "aaaaaa11") == 1
        assert capsys.readouterr().out == "It was revoked already.\n"

    def test_tag(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(folder, ANNS)
        words = ["--add", "kiosk", "--add", "floor:2", "--ownership", "company", "--certificate", "AB:" * 31 + "AB"]
        assert ostiary(folder, "tag", "aaaaaa11", *words) == 0
        kept = read(folder, "aaaaaa11")
        assert (kept.tags, kept.ownership, kept.cert_sha256) == (("floor:2", "kiosk"), "company", "ab" * 32)
        cleared = ["--remove", "kiosk", "--ownership", "unknown", "--certificate", "none"]
        assert ostiary(folder, "tag", "aaaaaa11", *cleared) == 0
        kept = read(folder, "aaaaaa11")
        assert (kept.tags, kept.ownership, kept.cert_sha256) == (("floor:2",), "", "")
        capsys.readouterr()
        for wrong in (["--add", "Not A Tag"], ["--certificate", "abc"]):
            assert ostiary(folder, "tag", "aaaaaa11", *wrong) == 1
        assert read(folder, "aaaaaa11") == kept

    @pytest.mark.parametrize("action", ["show", "approve", "revoke", "tag"])
    def test_no_such_device(self, folder: Path, capsys: pytest.CaptureFixture[str], action: str) -> None:
        write(folder, ANNS, record("aaaaaa12"))
        assert ostiary(folder, action, "dddddd44") == 1
        assert ostiary(folder, action, "aaaaa") == 1, "too short to be taken for a beginning"
        assert ostiary(folder, action, "aaaaaa1") == 1
        assert "begins 2 devices" in capsys.readouterr().err


class TestWrongUse:
    @pytest.mark.parametrize("words", [[], ["approve"], ["tag"], ["tag", "x", "--ownership", "mine"], ["frobnicate"]])
    def test_is_two(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["devices", *words])
        assert caught.value.code == 2

    def test_no_configuration(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert ostiary(tmp_path, "list") == 2

    def test_devices_in_memory_are_out_of_reach(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "ostiary.yaml").write_text(CONFIG.replace("STATE", "'memory:'") + "workers: 1\n")
        assert ostiary(folder, "list") == 2
        assert "sqlite:PATH" in capsys.readouterr().err

    def test_a_broken_database(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "var").mkdir()
        (folder / "var" / "state.devices.db").write_bytes(b"not a database, whatever it is called" * 100)
        assert ostiary(folder, "list") == 1
        assert "move the file away" in capsys.readouterr().err

    def test_help_teaches(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["devices", "--help"])
        assert "ostiary devices approve 3f0c61" in capsys.readouterr().out
