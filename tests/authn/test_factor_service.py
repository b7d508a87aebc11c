"""Second factors as our pages use them: enrolled, used once, limited, taken away."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from factor_house import ANN, BOB, NOON, ORIGIN, SID, House, code
from hypothesis import given
from hypothesis import strategies as st
from soft_passkey import SoftPasskey

from proxy.authn.factors import FactorRefused, Factors, Used
from proxy.authn.factors.codes import address, matching_step, qr
from proxy.authn.factors.recovery import hashed, new_codes
from proxy.authn.factors.service import LIFETIME
from proxy.sessions.seal import SealBroken, Sealer
from proxy.settings import schema


class TestCodes:
    @pytest.mark.parametrize(
        ("at", "said"),
        [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")],
    )
    def test_the_vectors_of_rfc_6238(self, at: int, said: str) -> None:
        secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # appendix B, in base32; six of the eight digits
        assert matching_step(secret, said, at) == at // 30
        assert matching_step(secret, f" {said[:3]} {said[3:]} ", at) == at // 30

    @given(st.integers(-5, 5), st.floats(1e9, 4e9))
    def test_one_step_of_difference_between_clocks_is_accepted(self, drift: int, now: float) -> None:
        secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        step = int(now // 30) + drift
        near = [code(secret, (int(now // 30) + each) * 30) for each in (-1, 0, 1)]
        assert (matching_step(secret, code(secret, step * 30), now) is not None) == (code(secret, step * 30) in near)

    @given(st.text(max_size=12))
    def test_anything_typed_is_right_or_wrong_and_never_fails(self, typed: str) -> None:
        matching_step("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", typed, NOON)

    def test_the_address_an_app_scans(self) -> None:
        said = address("ABC", "Ostiary login.apps.test", "ann@example.com")
        assert said == (
            "otpauth://totp/Ostiary%20login.apps.test:ann@example.com?"
            "secret=ABC&issuer=Ostiary%20login.apps.test&algorithm=SHA1&digits=6&period=30"
        )
        width, path = qr(said)
        assert width > 30
        assert re.fullmatch(r"(M\d+ \d+h1v1h-1z)+", path)

    async def test_a_code_is_good_once_even_twice_at_the_same_time(self) -> None:
        house = House()
        secret = await house.app()
        typed = code(secret, house.now)
        said = await asyncio.gather(*(house.factors.check_code(ANN, typed) for _ in range(3)), return_exceptions=True)
        assert sum(isinstance(each, Used) for each in said) == 1
        assert sum(isinstance(each, FactorRefused) for each in said) == 2
        with pytest.raises(FactorRefused):
            await house.factors.check_code(ANN, code(secret, house.now - 30)), "an older one neither"

    async def test_the_code_that_enrolled_the_app_is_used(self) -> None:
        house = House()
        new = house.factors.new_code(ANN, SID, "ann")
        await house.factors.add_code(ANN, SID, new.sealed, code(new.secret, NOON), "Phone")
        with pytest.raises(FactorRefused):
            await house.factors.check_code(ANN, code(new.secret, NOON))
        house.now += 30
        assert await house.factors.check_code(ANN, code(new.secret, house.now)) == (("otp",), "authenticator app Phone")

    async def test_somebody_elses_code_is_wrong(self) -> None:
        house = House()
        await house.app()
        other = await house.app(BOB)
        with pytest.raises(FactorRefused):
            await house.factors.check_code(ANN, code(other, house.now))

    async def test_the_secret_is_kept_sealed_and_for_its_owner(self) -> None:
        house = House()
        secret = await house.app()
        (kept,) = await house.store.of(ANN)
        assert secret.encode() not in kept.secret
        with pytest.raises(SealBroken):
            house.sealer.unseal(f"factor-app:{BOB}", kept.secret.decode(), now=house.now, max_age=None)

    async def test_a_mistyped_first_code_does_not_use_up_the_qr_code(self) -> None:
        house = House()
        new = house.factors.new_code(ANN, SID, "ann")
        with pytest.raises(FactorRefused):
            await house.factors.add_code(ANN, SID, new.sealed, "000000", "Phone")
        assert house.factors.same_code(ANN, SID, new.sealed, "ann").secret == new.secret
        await house.factors.add_code(ANN, SID, new.sealed, code(new.secret, NOON), "Phone")
        house.now += 60
        with pytest.raises(FactorRefused, match="answered already"):
            await house.factors.add_code(ANN, SID, new.sealed, code(new.secret, house.now), "again")

    @pytest.mark.parametrize(("person", "sid", "later"), [(BOB, SID, 0), (ANN, "s2", 0), (ANN, SID, LIFETIME + 1)])
    async def test_an_enrolment_is_for_its_person_and_session_and_for_ten_minutes(
        self, person: str, sid: str, later: float
    ) -> None:
        house = House()
        new = house.factors.new_code(ANN, SID, "ann")
        house.now += later
        with pytest.raises(FactorRefused, match="too old"):
            await house.factors.add_code(person, sid, new.sealed, code(new.secret, house.now), "Phone")

    async def test_after_the_key_was_replaced_an_app_is_refused_with_words(self) -> None:
        house = House()
        secret = await house.app()
        other = Factors(
            house.store, Sealer(b"z" * 32), schema.Login(url=ORIGIN), lambda: house.now, house.consumed.consume
        )
        with pytest.raises(FactorRefused, match="the key of this service was replaced"):
            await other.check_code(ANN, code(secret, house.now))


class TestPasskeys:
    async def test_a_passkey_confirms_and_says_whether_it_can_be_copied(self) -> None:
        house = House()
        own, synced = SoftPasskey(), SoftPasskey(synced=True, counting=False)
        await house.passkey(own)
        await house.passkey(synced)
        assert (await house.confirm(own)).methods == ("hwk", "user")
        assert (await house.confirm(synced)).methods == ("swk", "user")
        assert (await house.confirm(synced)).methods == ("swk", "user")

    async def test_an_answer_is_good_once(self) -> None:
        house = House()
        key = SoftPasskey(counting=False)
        await house.passkey(key)
        begun = await house.factors.ask_passkey(ANN, SID)
        assert begun is not None
        answer = key.get(json.loads(begun.options), ORIGIN).encode()
        said = await asyncio.gather(
            *(house.factors.check_passkey(ANN, SID, begun.sealed, answer) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(each, Used) for each in said) == 1

    async def test_a_wrong_answer_uses_up_the_challenge_too(self) -> None:
        house = House()
        key = SoftPasskey()
        await house.passkey(key)
        begun = await house.factors.ask_passkey(ANN, SID)
        assert begun is not None
        options = json.loads(begun.options)
        for answer in (key.get(options, "https://evil.test"), key.get(options, ORIGIN)):
            with pytest.raises(FactorRefused):
                await house.factors.check_passkey(ANN, SID, begun.sealed, answer.encode())

    async def test_a_copied_authenticator_gives_itself_away(self) -> None:
        house = House()
        key = SoftPasskey()
        await house.passkey(key)
        await house.confirm(key)
        await house.confirm(key)
        key.counter = 1
        with pytest.raises(FactorRefused, match="may have been copied"):
            await house.confirm(key)

    @pytest.mark.parametrize(("person", "sid"), [(BOB, SID), (ANN, "s2")])
    async def test_a_challenge_is_for_its_person_and_session(self, person: str, sid: str) -> None:
        house = House()
        key = SoftPasskey()
        await house.passkey(key)
        await house.passkey(SoftPasskey(), BOB)
        begun = await house.factors.ask_passkey(ANN, SID)
        assert begun is not None
        answer = key.get(json.loads(begun.options), ORIGIN).encode()
        with pytest.raises(FactorRefused):
            await house.factors.check_passkey(person, sid, begun.sealed, answer)

    async def test_an_enrolment_challenge_is_no_login_challenge(self) -> None:
        house = House()
        key = SoftPasskey()
        await house.passkey(key)
        begun = await house.factors.new_passkey(ANN, SID, "ann")
        options = {"challenge": json.loads(begun.options)["challenge"], "rpId": "login.apps.test"}
        with pytest.raises(FactorRefused):
            await house.factors.check_passkey(ANN, SID, begun.sealed, key.get(options, ORIGIN).encode())

    async def test_a_passkey_of_somebody_else_cannot_be_enrolled(self) -> None:
        house = House()
        key = SoftPasskey()
        await house.passkey(key)
        with pytest.raises(FactorRefused, match="enrolled already"):
            await house.passkey(key, BOB)

    async def test_nobody_without_one_is_asked_for_one(self) -> None:
        assert await House().factors.ask_passkey(ANN, SID) is None


class TestRecovery:
    def test_codes_are_many_bits_and_read_however_they_are_typed(self) -> None:
        codes = new_codes()
        assert len(set(codes)) == 10
        assert all(re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", each) for each in codes)
        assert hashed(codes[0]) == hashed(codes[0].upper().replace("-", " ")) != hashed(codes[1])

    async def test_each_is_good_once_and_does_not_pass_for_a_key_or_an_app(self) -> None:
        house = House()
        await house.app()
        codes = await house.factors.new_recovery(ANN)
        assert (await house.factors.check_recovery(ANN, codes[3])).methods == ("kba",)
        with pytest.raises(FactorRefused, match="used already"):
            await house.factors.check_recovery(ANN, codes[3])
        assert await house.factors.recovery_left(ANN) == 9
        with pytest.raises(FactorRefused):
            await house.factors.check_recovery(BOB, codes[4])
