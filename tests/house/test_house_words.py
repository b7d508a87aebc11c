"""Words that must agree: reasons and their table, schema and its file, version and changelog, CI and Makefile."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import proxy
from proxy.model.reasons import MEANING, Reason

REPOSITORY = Path(__file__).resolve().parents[2]
CHANGELOG = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CI = REPOSITORY / ".ci" / "run"


# --- reasons ---------------------------------------------------------------------------------------------------------


def test_every_reason_has_its_meaning_and_no_other() -> None:
    assert list(MEANING) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_refusal_tells_a_person_what_to_do(reason: Reason) -> None:
    meaning = MEANING[reason]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason.value)
    assert meaning.title[0].isupper()
    assert not meaning.title.endswith(".")
    if meaning.status < 400:
        assert meaning.remedy == ""
    else:
        assert meaning.remedy.endswith(".")
        assert not re.search(r"Reason|None|exception", meaning.title + meaning.remedy)


# --- configuration ---------------------------------------------------------------------------------------------------


def test_editors_have_the_schema_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    from proxy.cli import main

    assert main(["check", "--schema"]) == 0
    written = (REPOSITORY / "config" / "ostiary.schema.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == written, "write it anew: ostiary check --schema > config/ostiary.schema.json"


def test_the_example_passes_the_check(capsys: pytest.CaptureFixture[str]) -> None:
    from proxy.cli import main

    assert main(["check", str(REPOSITORY / "config" / "ostiary.yaml")]) == 0
    assert "error" not in capsys.readouterr().err


# --- changelog -------------------------------------------------------------------------------------------------------


def test_the_newest_entry_is_of_this_version() -> None:
    entries = re.findall(r"^## \[(.+?)\] - (\d{4}-\d\d-\d\d|unreleased)$", CHANGELOG, re.MULTILINE)
    assert entries[0][0] == proxy.__version__
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


# --- CI --------------------------------------------------------------------------------------------------------------


def test_ci_is_a_sound_script() -> None:
    assert os.access(CI, os.X_OK)
    text = CI.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    subprocess.run(["bash", "-n", str(CI)], check=True)


def test_ci_runs_what_readme_tells_people_to_run() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    ran = set(re.findall(r"\bmake (?:-\S+ )*([a-z-]+)", CI.read_text(encoding="utf-8")))
    told = set(re.findall(r"^make ([a-z-]+)", README.split("## Working on it")[1], re.MULTILINE))
    assert ran <= targets
    assert told <= ran


def test_every_fuzzer_takes_seconds_and_a_seed() -> None:
    fuzzers = sorted((REPOSITORY / "tests" / "fuzz").glob("fuzz_*.py"))
    names = {path.stem for path in fuzzers}
    assert {"fuzz_request_head", "fuzz_path", "fuzz_cookie", "fuzz_ticket", "fuzz_configuration"} <= names
    for path in fuzzers:
        text = path.read_text(encoding="utf-8")
        assert re.search(rf"`python tests/fuzz/{path.name} \[seconds\] \[seed\]`", text), (
            f"{path.name}: say how to run it"
        )
