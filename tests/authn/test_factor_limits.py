"""How often one may be wrong, and what the settings switch off."""

from __future__ import annotations

import asyncio

import pytest
from factor_house import ANN, BOB, NOON, ORIGIN, SID, House, code, made
from hypothesis import given
from hypothesis import strategies as st
from soft_passkey import SoftPasskey

from proxy.authn.factors import FactorRefused, TooManyAttempts
from proxy.authn.factors.factor import Tries, counted
from proxy.settings import schema


class TestLimits:
    async def test_whoever_guesses_codes_has_five_tries_in_a_quarter_of_an_hour(self) -> None:
        house = House()
        secret = await house.app()
        for _ in range(5):
            with pytest.raises(FactorRefused):
                await house.factors.check_code(ANN, "000000")
        with pytest.raises(TooManyAttempts) as refused:
            await house.factors.check_code(ANN, code(secret, house.now))
        assert refused.value.wait == 900
        assert "15 minutes" in refused.value.sentence
        house.now += 900
        assert await house.factors.check_code(ANN, code(secret, house.now))

    async def test_a_hundred_guesses_at_once_are_five(self) -> None:
        house = House()
        await house.app()
        said = await asyncio.gather(
            *(house.factors.check_code(ANN, f"{n:06}") for n in range(100)), return_exceptions=True
        )
        assert sum(isinstance(each, TooManyAttempts) for each in said) == 95

    async def test_recovery_codes_count_with_codes(self) -> None:
        house = House()
        await house.app()
        for n in range(5):
            with pytest.raises(FactorRefused):
                await (house.factors.check_code if n % 2 else house.factors.check_recovery)(ANN, "wrong")
        with pytest.raises(TooManyAttempts):
            await house.factors.check_recovery(ANN, "wrong")

    async def test_who_is_locked_out_of_codes_still_has_the_passkey(self) -> None:
        house = House()
        key = SoftPasskey()
        await house.app()
        await house.passkey(key)
        for _ in range(8):
            with pytest.raises((FactorRefused, TooManyAttempts)):
                await house.factors.check_code(ANN, "000000")
        assert await house.confirm(key)

    async def test_others_are_not_held_up(self) -> None:
        house = House()
        secret = await house.app(BOB)
        for _ in range(8):
            with pytest.raises((FactorRefused, TooManyAttempts)):
                await house.factors.check_code(ANN, "000000")
        assert await house.factors.check_code(BOB, code(secret, house.now))

    async def test_a_patient_guesser_is_stopped_after_a_hundred(self) -> None:
        house = House(attempts=20)
        await house.app()
        for n in range(100):
            house.now += 900 if n % 20 == 0 else 0
            with pytest.raises(FactorRefused):
                await house.factors.check_code(ANN, "000000")
        house.now += 1e8
        with pytest.raises(TooManyAttempts) as refused:
            await house.factors.check_code(ANN, "000000")
        assert "ask whoever runs this service" in refused.value.sentence

    @given(st.lists(st.floats(0, 5000), max_size=60), st.integers(3, 20))
    def test_never_more_than_allowed_in_any_window(self, gaps: list[float], most: int) -> None:
        tries, now, made = Tries(), NOON, []
        for gap in gaps:
            now += gap
            tries, wait = counted(tries, now=now, most=most, window=900)
            assert 0 <= wait <= 900
            if not wait:
                made.append(now)
            assert len([at for at in made if at > now - 900]) <= most
            assert len(tries.times) <= most


class TestSettings:
    async def test_what_is_switched_off_is_neither_enrolled_nor_asked_for(self) -> None:
        house = House()
        secret = await house.app()
        key = SoftPasskey()
        await house.passkey(key)
        begun = await house.factors.new_passkey(ANN, SID, "ann")
        new = house.factors.new_code(ANN, SID, "ann")
        house.factors.reconfigure(
            schema.Login(url=ORIGIN, second_factor=schema.SecondFactor(passkeys=False, codes=False))
        )
        assert await house.factors.of(ANN) == []
        assert len(await house.factors.all_of(ANN)) == 2
        assert await house.factors.ask_passkey(ANN, SID) is None
        with pytest.raises(FactorRefused):
            await house.factors.check_code(ANN, code(secret, house.now))
        with pytest.raises(FactorRefused, match="switched off"):
            await house.factors.add_passkey(ANN, SID, begun.sealed, made(SoftPasskey(), begun), "Key")
        with pytest.raises(FactorRefused, match="switched off"):
            await house.factors.add_code(ANN, SID, new.sealed, code(new.secret, house.now), "Phone")

    async def test_names_are_one_printable_line(self) -> None:
        house = House()
        new = house.factors.new_code(ANN, SID, "ann")
        added = await house.factors.add_code(ANN, SID, new.sealed, code(new.secret, NOON), "a\n\u202eb\x00" + "x" * 99)
        assert added.name == "ab" + "x" * 58
