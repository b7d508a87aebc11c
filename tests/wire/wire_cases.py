"""Reading the tables of cases, and what every forwarded request must be like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from strict_reader import Message, folded

HERE = Path(__file__).parent / "cases"
Case = dict[str, Any]

# What only we may say, and what concerns one connection only: never there twice, in no spelling.
_OURS_ONCE = ("Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id")
_IDENTITY = ("X-Ostiary-Assertion", "X-Ostiary-User", "X-Ostiary-Email", "X-Ostiary-Groups")
_NEVER = ("TE", "Trailer", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Expect")
_NEVER += ("Forwarded", "Via", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Client-Cert", "Client-Cert")
_NEVER += ("X-Client-IP", "True-Client-IP", "Remote-User", "X-Remote-User", "X-HTTP-Method-Override", "Proxy")
_NEVER += ("X-Ostiary-Session", "X-Ostiary-Client", "X-Ostiary-Reference")


def load_cases(file: str) -> list[Any]:
    """The cases of one file as pytest parameters."""
    return [
        pytest.param(case, id=f"{group['group']}: {case['name']}")
        for group in yaml.safe_load((HERE / file).read_text("utf-8"))
        for one in group["cases"]
        for case in _spread(one)
    ]


def _spread(case: Case) -> Iterator[Case]:
    """A case for each value of `also`."""
    if "also" not in case:
        yield case
        return
    for value in case["also"]:
        fresh = {key: content for key, content in case.items() if key != "also"}
        fresh["name"] = f"{case['name']} {value!r}"
        for key in ("line", "body", "bytes", "answer"):
            if key in fresh:
                fresh[key] = fresh[key].replace("{}", value)
        if "fields" in fresh:
            fresh["fields"] = [line.replace("{}", value) for line in fresh["fields"]]
        yield fresh


def _paths() -> list[Any]:
    """The table of paths, as far as its targets can be written in a request line and do not lead to our own pages."""
    return [
        pytest.param(case, id=f"{group['group']}: {case['target']!r}")
        for group in yaml.safe_load((HERE.parents[1] / "paths" / "cases.yaml").read_text("utf-8"))
        for case in group["cases"]
        if not case["target"].startswith("/.ostiary")
    ]


PATHS = _paths()


def check_forwarded(request: Message, *, identified: bool, upgrading: bool = False) -> None:
    """What holds for every request that reaches the app, whatever was sent."""
    for name in _OURS_ONCE:
        assert len(request.aliases(name)) == 1, f"{name}: {request.raw!r}"
    for name in _IDENTITY:
        assert len(request.aliases(name)) == int(identified), f"{name}: {request.raw!r}"
    for name in _NEVER:
        assert not request.aliases(name), f"{name}: {request.raw!r}"
    for name in ("Connection", "Upgrade"):
        assert len(request.aliases(name)) == int(upgrading), f"{name}: {request.raw!r}"
    assert len(request.aliases("Content-Length")) == int(request.framing == "length"), request.raw
    assert len(request.aliases("Transfer-Encoding")) == int(request.framing == "chunked"), request.raw
    assert request.values("X-Forwarded-For") == [b"127.0.0.1"]
    assert b"__host-ostiary" not in request.raw.lower()
    _check_order(request)


def _check_order(request: Message) -> None:
    """Ours come last: a server that believes the last of two must believe ours."""
    names = [folded(name) for name, _ in request.fields]
    first_of_ours = min(names.index(folded(name.encode())) for name in _OURS_ONCE)
    rest = {
        folded(name.encode())
        for name in (*_OURS_ONCE, *_IDENTITY, "Content-Length", "Transfer-Encoding", "Connection", "Upgrade")
    }
    assert set(names[first_of_ours:]) <= rest, request.raw


def check_expected(request: Message, expected: dict[str, Any]) -> None:
    """What a case says about the request at the app."""
    if "line" in expected:
        assert request.first == expected["line"].encode("latin-1")
    if "framing" in expected:
        assert request.framing == expected["framing"]
    if "body" in expected:
        assert request.body == expected["body"].encode("latin-1")
    for name, value in expected.get("fields", {}).items():
        assert request.values(name) == [value.encode("latin-1")], name
    for name in expected.get("absent", []):
        assert not request.aliases(name), name
