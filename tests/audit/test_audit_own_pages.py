"""What our own pages report becomes lines of the record: whose, why, and of which provider."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.app.events import record_event
from proxy.audit.event import Event
from proxy.model.identity import Identity
from proxy.model.reasons import Reason
from proxy.model.verdict import Outcome

ANN = Identity(kind="person", subject="u-1", provider="corp", email="ann@example.com")


class Kept:
    """A journal that keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[Event] = []

    def record(self, event: Event) -> None:
        self.lines.append(event)


def line(event: str, **fields: Any) -> Event:
    kept = Kept()
    record_event(kept, lambda: 7.0, event, reference="r-1", **fields)  # type: ignore[arg-type]  # all it needs
    return kept.lines[0]


@pytest.mark.parametrize("reason", [Reason.PROVIDER_UNAVAILABLE, Reason.LOGIN_REFUSED])
def test_a_failed_login_says_why(reason: Reason) -> None:
    said = line("login-failed", provider="corp", address="192.0.2.7", why="no answer", reason=reason)
    assert (said.type, said.outcome, said.reason) == ("login", Outcome.DENY, reason)
    assert (said.address, said.note) == ("192.0.2.7", "provider: corp, why: no answer")


def test_a_revocation_says_whose_session_it_was() -> None:
    said = line("backchannel-logout", provider="corp", ended=2, session="s-1", identity=ANN)
    assert (said.type, said.reason, said.session) == ("revocation", Reason.SESSION_REVOKED, "s-1")
    assert (said.kind, said.identity, said.note) == ("person", "ann@example.com", "provider: corp, ended: 2")


def test_what_was_too_much_to_list_is_counted() -> None:
    said = line("backchannel-logout", provider="corp", ended=54, unlisted=4)
    assert (said.session, said.identity, said.note) == ("", "", "provider: corp, ended: 54, unlisted: 4")


def test_nobody_to_end_is_a_line_too() -> None:
    assert line("backchannel-logout", provider="corp", ended=0).note == "provider: corp, ended: 0"
