"""Log lines: one per event, readable by people or programs, and without secrets whatever is thrown at them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.log import JsonFormatter, TextFormatter, configure
from proxy.telemetry.redaction import is_secret_name, redact

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "redaction.yaml").read_text())

log = logging.getLogger("ostiary.test")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def failing(text: str) -> None:
    raise ValueError(text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_secrets_are_taken_out_of_texts(case: dict[str, Any]) -> None:
    expected = case["text"] if case.get("keep") else case["shown"]
    assert redact(case["text"]) == expected
    assert redact(expected) == expected


@given(st.text() | st.lists(st.sampled_from([case["text"] for case in CASES])).map(" ".join))
def test_redaction_is_stable_and_never_fails(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@pytest.mark.parametrize(
    "unit", ["a", "token", "a.", '"', "'token':", "token='", "eyJ", "://a@", "=", "-----BEGIN KEY"]
)
def test_a_long_text_does_not_stall_the_log(unit: str) -> None:
    redact(unit * (200_000 // len(unit)))  # what grows with the square of the length meets the test's time limit


@pytest.mark.parametrize(
    "name", ["token", "refresh_token", "Authorization", "set-cookie", "client_secret", "X-Api-Key"]
)
def test_names_that_promise_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["route", "email", "status", "file", "reference"])
def test_names_that_do_not(name: str) -> None:
    assert not is_secret_name(name)


def test_to_a_program_each_event_is_one_json_object() -> None:
    stream = io.StringIO()
    configure(stream=stream, worker="2")
    log.warning("cannot reach %s", "app\nforged line", extra={"route": "grafana", "tries": 3, "ok": False, "why": None})
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "ostiary.test",
        "worker": "2",
        "message": "cannot reach app\nforged line",
        "route": "grafana",
        "tries": 3,
        "ok": False,
        "why": None,
    }


def test_to_a_terminal_each_event_is_one_line_without_control_bytes() -> None:
    stream = Terminal()
    configure(stream=stream)
    log.info("path %s", "/a\nb\x1b[2J\x9b", extra={"route": "x\ry"})
    (line,) = stream.getvalue().splitlines()
    assert line[8:] == r" info     path /a\nb\x1b[2J\x9b  route=x\ry"


def test_the_format_can_be_chosen() -> None:
    stream = Terminal()
    configure(format="json", level="warning", stream=stream)
    log.info("not shown")
    log.error("shown")
    assert json.loads(stream.getvalue())["message"] == "shown"


def test_fields_and_tracebacks_lose_their_secrets_too() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    try:
        int("bad answer: {'refresh_token': 'tell-nobody'}")
    except ValueError:
        log.exception("failed", extra={"cookie": "tell-nobody", "url": "https://a/?code=tell-nobody"})
    assert "tell-nobody" not in stream.getvalue()
    said = json.loads(stream.getvalue())
    assert said["cookie"] == "[hidden]"
    assert said["url"] == "https://a/?code=[hidden]"
    assert "ValueError: invalid literal" in said["error"]


def test_a_field_cannot_replace_what_every_line_has() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log.info("true", extra={"level": "forged", "time": "forged", "logger": "forged"})
    said = json.loads(stream.getvalue())
    assert (said["level"], said["logger"]) == ("info", "ostiary.test")
    assert said["time"] != "forged"


@given(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.lists(st.text())))
def test_nothing_breaks_a_line(message: str, field: object) -> None:
    record = logging.LogRecord("n", logging.INFO, "", 0, message, (), None)
    record.field = field
    (line,) = JsonFormatter().format(record).split("\n")
    json.loads(line)
    assert "\n" not in TextFormatter().format(record)


def test_a_traceback_follows_on_lines_of_its_own_for_people() -> None:
    stream = Terminal()
    configure(stream=stream)
    try:
        failing("no\x1b[2J")
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("error    failed")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == r"ValueError: no\x1b[2J"


def test_a_very_long_text_is_cut() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    log.info("x" * 100_000)
    said = json.loads(stream.getvalue())
    assert said["message"].endswith("… (100000 characters)")
    assert len(said["message"]) < 20_000
