"""`ostiary check` from the outside: what is printed where, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from settings_world import ROUTES, World

from proxy.cli import main
from proxy.settings.json_schema import written_schema


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", "s3cret")
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def test_fine_with_warnings(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ostiary.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == "ostiary.yaml: fine — 1 route, 1 rule, 2 listeners, 1 login provider — 3 warnings\n"
    assert "ostiary.yaml:3:45: warning: " in err


def test_errors(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.routes.write_text(ROUTES.replace("allow", "allo"))
    assert main(["check", "."]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert 'routes/apps.yaml:5:5: unknown key "allo" in route "grafana"' in err
    assert err.endswith("ostiary.yaml: 1 error, 3 warnings; nothing was changed\n")


def test_strict_files(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--strict-files", "--config", "ostiary.yaml"]) == 1
    assert "ostiary.yaml: 3 errors; nothing was changed" in capsys.readouterr().err


def test_a_routes_file_by_itself(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "routes/apps.yaml"]) == 0
    assert capsys.readouterr() == ("routes/apps.yaml: fine — 1 route, 1 rule\n", "")


def test_no_such_file(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "absent.yaml"]) == 2
    assert capsys.readouterr() == (
        "",
        "ostiary check: absent.yaml does not exist; name a configuration: ostiary check PATH\n",
    )


def test_for_programs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.change("idle: 1h", "idle: soon")
    assert main(["check", "ostiary.yaml", "--json"]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err == ""
    assert answer["ok"] is False
    assert answer["problems"] == [
        {
            "file": "ostiary.yaml",
            "line": 12,
            "column": 33,
            "message": '"idle": this is not a duration ("soon")',
            "hint": "write a number and a unit, such as 250ms, 10s, 15m, 12h, 7d, or a sum such as 1h30m",
            "severity": "error",
            "source": "sessions: {lifetime: 12h, idle: soon}",
        }
    ]


def test_the_revision_for_programs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ostiary.yaml", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["counts"] == {"route": 1, "rule": 1, "listener": 2, "login provider": 1}
    assert len(answer["revision"]) == 12


def test_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == 0
    assert capsys.readouterr().out == written_schema()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    assert "ostiary check --schema > config/ostiary.schema.json" in capsys.readouterr().out
