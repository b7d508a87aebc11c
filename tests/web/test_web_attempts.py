"""State and cookie of a login attempt: what we sealed comes back, nothing else does, and a browser keeps a few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions.seal import Sealer
from proxy.web import attempts
from proxy.web.attempts import LIFETIME, MAX_ATTEMPTS, State
from proxy.web.endpoints import ATTEMPT_COOKIE

SEALER = Sealer(b"k" * 32)
NOW = 1_800_000_000.0


def state(now: float = NOW) -> State:
    return State(attempt="a", provider="corp", back="https://wiki.apps.test/x", started=now, bind="b", max_age=0)


def test_state_comes_back_for_a_day_but_says_when_it_is_over() -> None:
    token = attempts.seal_state(SEALER, state(), NOW)
    assert attempts.open_state(SEALER, token, NOW + 80_000) == state()
    assert attempts.open_state(SEALER, token, NOW + 90_000) is None
    assert not attempts.is_over(state(), NOW + LIFETIME)
    assert attempts.is_over(state(), NOW + LIFETIME + 1)
    assert attempts.is_over(state(), NOW - 61), "the clock jumped back"


def test_the_secret_is_for_its_own_attempt_and_time() -> None:
    secret = attempts.new_secret(NOW)
    jar = {attempts.cookie_name(secret.attempt): attempts.seal_secret(SEALER, secret, NOW)}
    assert attempts.open_secret(SEALER, jar, secret.attempt, NOW + LIFETIME) == secret
    assert attempts.open_secret(SEALER, jar, secret.attempt, NOW + LIFETIME + 1) is None
    assert attempts.open_secret(SEALER, jar, "other", NOW) is None
    other = {attempts.cookie_name("other"): next(iter(jar.values()))}
    assert attempts.open_secret(SEALER, other, "other", NOW) is None
    assert secret.verifier not in repr(secret)
    assert secret.nonce not in repr(secret)


def test_state_and_secret_cannot_stand_in_for_each_other() -> None:
    secret = attempts.new_secret(NOW)
    assert attempts.open_state(SEALER, attempts.seal_secret(SEALER, secret, NOW), NOW) is None
    jar = {attempts.cookie_name("a"): attempts.seal_state(SEALER, state(), NOW)}
    assert attempts.open_secret(SEALER, jar, "a", NOW) is None


@given(st.text(max_size=300))
def test_nothing_else_is_a_state_or_a_secret(text: str) -> None:
    assert attempts.open_state(SEALER, text, NOW) is None
    assert attempts.open_secret(SEALER, {attempts.cookie_name("a"): text}, "a", NOW) is None


@given(st.lists(st.integers(0, 5000), max_size=30), st.lists(st.text(max_size=20), max_size=5))
def test_after_cleaning_up_one_more_fits_and_the_newest_stay(ages: list[int], odd: list[str]) -> None:
    names = [attempts.cookie_name(attempts.new_secret(NOW - age).attempt) for age in ages]
    strange = [ATTEMPT_COOKIE + text for text in odd]
    gone = set(attempts.superfluous([*names, *strange, "theme"]))
    kept = [name for name in names if name not in gone]
    assert len(kept) == min(len(names), MAX_ATTEMPTS - 1)
    assert set(strange) <= gone
    assert "theme" not in gone
    assert not kept or min(kept) >= max((name for name in names if name in gone), default="")
