"""Sealed values come back unchanged, for their purpose and time, or not at all. Also the key file."""

from __future__ import annotations

import base64
import errno
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions.keyfile import KeyFileUnusable, load_or_create_key
from proxy.sessions.seal import SealBroken, Sealer, SealExpired

KEY = b"k" * 32
NOW = 1_800_000_000.0
SEALER = Sealer(KEY)


@given(st.text(max_size=20), st.binary(max_size=200))
def test_what_was_sealed_comes_back(purpose: str, data: bytes) -> None:
    assert SEALER.unseal(purpose, SEALER.seal(purpose, data, now=NOW), now=NOW + 5, max_age=60) == data


def test_it_is_url_safe_and_never_the_same_twice() -> None:
    first, second = (SEALER.seal("p", b"data", now=NOW) for _ in range(2))
    assert first != second
    assert first.replace("-", "").replace("_", "").isalnum()
    assert base64.urlsafe_b64encode(b"data").decode().rstrip("=") not in first


@given(st.data())
def test_any_changed_bit_breaks_it(data: st.DataObject) -> None:
    raw = bytearray(base64.urlsafe_b64decode(SEALER.seal("p", b"hello", now=NOW) + "=="))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        SEALER.unseal("p", base64.urlsafe_b64encode(raw).decode().rstrip("="), now=NOW, max_age=60)


@given(st.text(max_size=120))
def test_garbage_is_broken(token: str) -> None:
    with pytest.raises(SealBroken):
        SEALER.unseal("p", token, now=NOW, max_age=60)


def test_another_spelling_of_the_same_bytes_is_broken() -> None:
    token = SEALER.seal("p", b"hello!", now=NOW)
    assert len(token) % 4 == 2 or len(token) % 4 == 3  # so the last character has bits to spare
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    for spelling in (twin, token + "=", token + "\n", " " + token, token[:9] + "!" + token[9:]):
        with pytest.raises(SealBroken):
            SEALER.unseal("p", spelling, now=NOW, max_age=60)


def test_for_another_purpose_or_with_another_key_it_is_broken() -> None:
    token = SEALER.seal("ticket", b"x", now=NOW)
    for sealer, purpose in ((SEALER, "login"), (Sealer(b"o" * 32), "ticket")):
        with pytest.raises(SealBroken):
            sealer.unseal(purpose, token, now=NOW, max_age=60)


def test_its_time_is_kept() -> None:
    token = SEALER.seal("p", b"x", now=NOW)
    assert SEALER.unseal("p", token, now=NOW + 60, max_age=60) == b"x"
    assert SEALER.unseal("p", token, now=NOW - 60, max_age=60) == b"x"  # a clock a little behind
    for later in (NOW + 60.1, NOW - 61):
        with pytest.raises(SealExpired):
            SEALER.unseal("p", token, now=later, max_age=60)
    assert SEALER.unseal("p", token, now=NOW - 1e6, max_age=None) == b"x"


def test_previous_keys_still_open() -> None:
    token = SEALER.seal("p", b"x", now=NOW)
    assert Sealer(b"n" * 32, previous=[KEY]).unseal("p", token, now=NOW, max_age=60) == b"x"


def test_short_keys_are_refused_and_keys_are_never_shown() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")
    assert "kkkk" not in repr(SEALER)


class TestKeyFile:
    def test_made_once_private_and_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "var" / "state.key"
        key = load_or_create_key(path)
        assert len(key) == 32
        assert load_or_create_key(path) == key
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert [each.name for each in path.parent.iterdir()] == ["state.key"]

    def test_many_processes_at_once_get_one_key(self, tmp_path: Path) -> None:
        with multiprocessing.get_context("fork").Pool(8) as pool:
            keys = pool.map(load_or_create_key, [tmp_path / "state.key"] * 32)
        assert len(set(keys)) == 1

    def test_one_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "state.key"
        load_or_create_key(path)
        path.chmod(0o640)
        with pytest.raises(KeyFileUnusable, match="chmod 600"):
            load_or_create_key(path)

    @pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44, b"A" * 2000])
    def test_what_is_no_key_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "state.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(KeyFileUnusable, match="delete the file"):
            load_or_create_key(path)

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(KeyFileUnusable, match=os.strerror(errno.EEXIST)):
            load_or_create_key(tmp_path / "file" / "state.key")
