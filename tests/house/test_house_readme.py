"""README stays true: its commands exist, its configuration passes the check, what it names is there."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shlex
import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from reference import PAGES, REPOSITORY, TABLES, filled

from proxy.audit.event import Event
from proxy.cli import COMMANDS
from proxy.devices.management import signature, webhook
from proxy.devices.reports import checked
from proxy.model.facts import Facts
from proxy.model.reasons import MEANING, Reason
from proxy.settings.load import check
from proxy.settings.schema import Configuration

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
FENCED = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [found[2] for found in FENCED.finditer(README) if found[1] == language]


def commands() -> list[str]:
    """Every command line of `ostiary` in a block, in a unit file, or as code in a sentence."""
    lines = [line.strip() for block in (*blocks("sh"), *blocks("ini")) for line in block.splitlines()]
    found = [line.partition(" #")[0] for line in lines if re.match(r"ostiary |Exec\w+=\S*/ostiary ", line)]
    found += re.findall(r"`(ostiary [a-z][^`|…]*)`", FENCED.sub("", README))
    assert len(found) > 10
    return list(dict.fromkeys(re.sub(r"^Exec\w+=\S*/", "", line).strip() for line in found))


# --- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one_that_the_program_takes(line: str) -> None:
    _, name, *words = shlex.split(line.partition(" > ")[0])
    assert name in COMMANDS
    module = importlib.import_module(f"proxy.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"ostiary {name}", exit_on_error=False)
    module.configure(parser)
    parser.parse_args(words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from proxy.cli import main

    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: ostiary {name}" in said
    for line in re.findall(rf"^  (ostiary {name}[^\n]*?)(?:   +.*)?$", said, re.MULTILINE):
        words = shlex.split(re.split(r" [|>#] | end all| end one", line)[0].replace("…", ""))
        parser = argparse.ArgumentParser(prog="ostiary", exit_on_error=False)
        importlib.import_module(f"proxy.cli.{name}").configure(parser)
        parser.parse_args(words[2:])


def test_what_it_makes_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test", "bench", "lint"} <= named <= targets


def test_the_two_commands_come_first() -> None:
    assert blocks("sh")[0].splitlines()[0].startswith("make demo ")
    assert README.index("## Two commands") < README.index("## The life of a request")


# --- configuration ---------------------------------------------------------------------------------------------------


def sections(text: str) -> dict[str, str]:
    """Top-level key → its lines."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=[a-z]+:)", text, flags=re.MULTILINE):
        if part and not part.startswith("#"):
            found[part.partition(":")[0]] = part
    return found


def configurations() -> list[tuple[str, str]]:
    """Each block as (ostiary.yaml, one routes file). The first is whole; the others replace sections of it."""
    whole, *others = blocks("yaml")
    base, routes = sections(whole), others[0]
    assert base["routes"].startswith("routes: routes/")
    made = [(whole, routes)]
    for block in others:
        own = sections(block)
        if set(own) == {"routes"}:
            made.append((whole, block))
        else:
            assert set(own) <= {field.encode_name for field in msgspec.structs.fields(Configuration)}
            made.append(("".join((base | own).values()), routes))
    return made


@pytest.mark.parametrize("number", range(len(configurations())))
def test_an_example_passes_the_check(number: int, tmp_path: Path) -> None:
    configuration, routes = configurations()[number]
    (tmp_path / "routes").mkdir()
    (tmp_path / "ostiary.yaml").write_text(configuration, encoding="utf-8")
    (tmp_path / "routes" / "example.yaml").write_text(routes, encoding="utf-8")
    checked = check(tmp_path / "ostiary.yaml")
    assert checked.settings is not None, checked.problems
    missing = r"no such file|is not set|no baseline has the label"
    other = [problem for problem in checked.problems if not re.search(missing, problem.message)]
    assert other == [], "only files, secrets and baselines of the example may be missing"


def test_rules_are_explained_completely() -> None:
    from proxy.settings.schema import Conditions

    table = README.split("### Rules")[1].split("Logic has three values")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named == {field.encode_name for field in msgspec.structs.fields(Conditions)}


# --- webhooks --------------------------------------------------------------------------------------------------------


def test_the_shown_webhook_is_taken() -> None:
    shown = next(one for one in blocks("json") if "devices" in json.loads(one))
    (told,) = webhook.read(shown.encode(), sent=1.8e9, now=1.8e9)
    assert checked(told.values) == told.values == json.loads(shown)["devices"][0]["attributes"]


def test_the_shown_signature_is_right(tmp_path: Path) -> None:
    """The lines run as they are shown, but for curl, in whose place stands what prints its arguments."""
    lines = next(block for block in blocks("sh") if signature.HEADER in block)
    (tmp_path / "mdm-secret").write_text("a shared secret of a good length\n", encoding="ascii")
    script = f'curl() {{ printf "%s\\0" "$@"; }}\n{lines}'
    ran = subprocess.run(["sh", "-euc", script], cwd=tmp_path, capture_output=True, check=True)
    url, *words = ran.stdout.decode().split("\0")[:-1]
    header, body = words[words.index("--data-binary") - 1], words[-1].encode()
    now = time.time()
    message = signature.verify(
        header.removeprefix("Ostiary-Signature: "), body, (b"a shared secret of a good length",), now
    )
    assert webhook.read(body, sent=message.sent, now=now)
    assert url.endswith("/.ostiary/devices/mdm/webhook")


# --- what is copied from the code ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_and_snippets_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled(text), "write them anew: python tests/house/reference.py"


def test_every_table_is_somewhere() -> None:
    everything = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"<!-- ([a-z]+):begin -->", everything)) == {*TABLES, "bench"}


def test_the_snippets_are_there_and_short() -> None:
    for language in ("python", "javascript", "go"):
        (snippet,) = blocks(language)
        assert 10 <= len(snippet.splitlines()) <= 30


def test_the_shown_refusal_is_one() -> None:
    refusal = next(shown for shown in map(json.loads, blocks("json")) if "error" in shown)
    meaning = MEANING[Reason(refusal["reason"])]
    assert (refusal["error"], refusal["remedy"]) == (meaning.title, meaning.remedy)


def test_the_shown_record_is_one() -> None:
    line = next(shown for shown in map(json.loads, blocks("json")) if "seq" in shown)
    del line["time"], line["run"], line["seq"]
    assert set(line) <= {field.encode_name for field in msgspec.structs.fields(Event)}
    event = msgspec.convert(line | {"facts": None}, dict[str, object])
    assert event["unix"] == line["unix"]
    facts = msgspec.convert(line["facts"], Facts)
    assert (facts.route, facts.path) == (line["route"], line["path"])


# --- what it names ---------------------------------------------------------------------------------------------------

NAMED = re.compile(
    r"(?<![\w/])((?:proxy|tests|loadtests|config|docs|\.ci)/[\w./-]*|Makefile|CHANGELOG\.md)(?:::(\w+))?"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_it_names_exist(page: Path) -> None:
    named = NAMED.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    missing = []
    for name, test in named:
        path = REPOSITORY / name.rstrip(".")
        if not path.exists() or (test and f"def {test}(" not in path.read_text(encoding="utf-8")):
            missing.append(f"{name}::{test}" if test else name)
    pictures = {"docs/portal.png", "docs/refused.png"}  # judged by the next test
    assert set(missing) - pictures == set()


def test_pictures_and_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (REPOSITORY / link).exists()] == []


def test_each_of_the_seven_claims_names_its_tests() -> None:
    rows = re.findall(r"^\| (\d)\. .*? \| (.*) \|$", README, re.MULTILINE)
    assert [number for number, _ in rows] == list("1234567")
    assert all("`tests/" in tests for _, tests in rows)


def test_the_life_of_a_request_has_the_phases_of_the_code() -> None:
    code = (REPOSITORY / "proxy" / "gateway" / "http.py").read_text(encoding="utf-8").split('"""')[1]
    phases = [word.lstrip("_") for word in re.findall(r"^    (\w+)  ", code, re.MULTILINE)]
    table = README.split("## The life of a request")[1].split("\n## ")[0]
    told = re.findall(r"^\| (\w+) \| ", table, re.MULTILINE)[1:]
    same = {"complete": "record"}
    assert told == [same.get(phase, phase) for phase in phases]
