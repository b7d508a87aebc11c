"""Each broken configuration in `broken.yaml` gets exactly the words it should: no fewer, no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from settings_world import World

from proxy.settings.load import check, load
from proxy.settings.problems import ConfigError, render

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "broken.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_broken(case: dict[str, Any], tmp_path: Path) -> None:
    assert World(tmp_path).says(case) == case["says"]


def test_names_are_given_once() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_nothing_is_said_about_a_sound_configuration(tmp_path: Path) -> None:
    assert World(tmp_path).says({}) == []


def test_shown_like_a_compiler_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.routes.write_text(world.routes.read_text().replace("allow", "allo"))
    monkeypatch.chdir(tmp_path)
    problems = [problem for problem in check(Path("ostiary.yaml")).problems if problem.severity == "error"]
    assert render(problems) == (
        'routes/apps.yaml:5:5: unknown key "allo" in route "grafana"\n'
        "        allo: [{name: staff, authenticated: true}]\n"
        "        ^\n"
        '    hint: did you mean "allow"?'
    )


def test_load_raises_with_all_problems(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change("lifetime: 12h", "lifetime: 12")
    world.change("idle: 1h", "idle: soon")
    with pytest.raises(ConfigError) as caught:
        load(world.configuration, strict_files=False)
    assert [problem.line for problem in caught.value.problems if problem.severity == "error"] == [12, 12]
    assert '"lifetime": a duration needs a unit' in str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "client_secret: hunter2",
        'client_secret: "hunter2',
        "client_secret: [hunter2]",
        "client_secret: {env: 'hunter2!'}",
        "client_secret: {env: hunter2!, fil: x}",
        "client_secret: {evn: hunter2}",
        "issuer2: https://user:hunter2@idp.example.com",
    ],
)
def test_a_secret_written_by_mistake_is_never_shown(written: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change("client_secret: {env: OSTIARY_TEST_SECRET}", written)
    problems = check(world.configuration).problems
    assert any(problem.severity == "error" for problem in problems)
    assert "hunter2" not in render(problems)
    assert "hunter2" not in repr(problems)


def test_a_thousand_mistakes_are_counted_not_printed(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.routes.write_text("routes:\n" + "  - {name: a, nme: b}\n" * 1000)
    shown = render(check(world.configuration).problems)
    assert shown.count("unknown key") <= 100
    assert "… and " in shown


def test_colours_only_when_asked(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.change("idle: 1h", "idle: x")
    problems = check(world.configuration).problems
    assert "\x1b[" in render(problems, colour=True)
    assert "\x1b[" not in render(problems)
