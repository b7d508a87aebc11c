"""Housekeeping: sizes of files, reasons of exemptions, nothing unfinished, nothing of the machine it comes from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST = 350  # lines
LONGER = {  # file → why it may be longer
    "proxy/net/downstream.py": "one connection is one state, and its phases share it",
    "tests/sessions/test_sessions_service.py": "the stories of one object with eleven promises",
    "tests/audit/test_audit_journal.py": "every way a disk can fail, told on one stage",
    "tests/demo/test_demo_idp.py": "a provider's whole behaviour, told on one stage",
    "tests/policy/test_policy_conditions.py": "one table for each condition",
}
EXEMPTION = re.compile(r"#\s*(noqa|type:\s*ignore|nosec|pragma)\b(:?\s*\[?([A-Za-z0-9, -]*?)\]?)(?=\s|$)(.*)")
GENERATED = {".lock", ".json", ".sum"}


def tracked() -> list[str]:
    """What belongs to the project: as git knows it, or everything that is no output, where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    names = [name for name in listed if name] or [
        str(path.relative_to(REPOSITORY)) for folder in ("proxy", "tests") for path in (REPOSITORY / folder).rglob("*")
    ]
    return [name for name in names if (REPOSITORY / name).is_file() and "node_modules" not in name]


FILES = tracked()
TEXTS = {
    name: text
    for name in FILES
    if b"\0" not in (data := (REPOSITORY / name).read_bytes()) and (text := data.decode("utf-8", "replace"))
}
PYTHON = [name for name in TEXTS if name.endswith(".py")]


def test_files_are_short_enough_to_read() -> None:
    sizes = {name: TEXTS[name].count("\n") for name in PYTHON}
    assert {name: size for name, size in sizes.items() if size > LONGEST and name not in LONGER} == {}
    assert [name for name in LONGER if name not in sizes] == [], "take them off the list"


def test_nothing_says_that_it_is_unfinished() -> None:
    words = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    found = [name for name, text in TEXTS.items() if Path(name).suffix not in GENERATED and words.search(text)]
    # the map, the test of it and this rule's own words are about the word, not instances of it
    assert [name for name in found if name not in {"tests/house/test_house_tree.py"}] == []


@pytest.mark.parametrize("name", [name for name in PYTHON if name != "tests/house/test_house_tree.py"])
def test_each_exemption_has_its_reason(name: str) -> None:
    """Each kind of exemption is explained where a file uses it first; the same again needs no new words."""
    bare, explained = [], set()
    for number, line in enumerate(TEXTS[name].splitlines(), 1):
        for found in EXEMPTION.finditer(line):
            kind, reason = (found[1], found[3].strip()), re.sub(r"^[\s#—–-]+", "", found[4])
            if len(reason) >= 4:
                explained.add(kind)
            if not kind[1] or kind not in explained:
                bare.append(f"{number}: {line.strip()}")
    assert bare == []


def test_no_modules_named_for_nothing() -> None:
    assert [name for name in PYTHON if re.search(r"(utils?|managers?|helpers?|misc|common)\.py$", name)] == []


# --- nothing of the machine it was written on ------------------------------------------------------------------------


def hosts_of(variables: list[str]) -> set[str]:
    """Hosts that package managers are told to use here."""
    values = " ".join(os.environ.get(name, "") for name in variables)
    found = {urlsplit(word).hostname or "" for word in re.split(r"[\s,]+", values) if "://" in word}
    return found - {"", "pypi.org", "registry.npmjs.org", "proxy.golang.org", "sum.golang.org"}


def test_no_file_knows_where_it_was_written() -> None:
    here = {str(REPOSITORY), str(REPOSITORY.parent)} - {"/", ""}
    known = {place for place in here if place.count("/") > 1 or len(place) > 3}
    mirrors = hosts_of(["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "npm_config_registry", "GOPROXY"])
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(word)}(?![\w-])" for word in [*known, *mirrors]))
    assert [name for name, text in TEXTS.items() if pattern.search(text)] == []


def test_no_home_folder_is_named() -> None:
    homes = re.compile(r"(?<![\w.])/(?:home|Users)/[a-z]")
    assert [name for name, text in TEXTS.items() if homes.search(text)] == []


def test_locked_packages_come_from_the_public_registries() -> None:
    for name in FILES:
        if name.endswith("package-lock.json"):
            resolved = re.findall(r'"resolved": "([^"]+)"', TEXTS[name])
            assert {urlsplit(url).hostname for url in resolved} <= {"registry.npmjs.org"}
        if name.endswith(".lock"):
            assert "://" not in re.sub(r"^\s*#.*$", "", TEXTS[name], flags=re.MULTILINE)
            assert "--hash=sha256:" in TEXTS[name]


def test_no_secret_and_no_state_is_committed() -> None:
    kinds = re.compile(r"(^|/)(certs/(?!README\.md)|var/|\.env$)|\.(key|pem|p12|db|pyc)$")
    assert [name for name in FILES if kinds.search(name)] == []
    begin = "-----BEGIN " + "{}PRIVATE KEY-----\nM"
    assert [
        name for name, text in TEXTS.items() if any(begin.format(kind) in text for kind in ("", "EC ", "RSA "))
    ] == []
