"""Passkeys, honest and lying."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soft_passkey import FLAG, HONEST, SoftPasskey

from proxy.authn.factors.errors import FactorRefused
from proxy.authn.factors.passkeys import MOST_BYTES, RelyingParty, user_handle

ORIGIN, HOST = "https://login.apps.test:8443", "login.apps.test"
ANN = "corp:ann"
CHALLENGE = bytes(range(32))
PARTY = RelyingParty(ORIGIN, HOST)


def enrolled(key: SoftPasskey) -> bytes:
    options = PARTY.enrolment(CHALLENGE, ANN, "ann", [])
    return PARTY.enrolled(CHALLENGE, key.create(options, ORIGIN).encode()).credential


def test_what_the_browser_is_asked_for() -> None:
    known = enrolled(SoftPasskey())
    options = json.loads(json.dumps(PARTY.enrolment(CHALLENGE, ANN, "ann@example.com", [known]), default=dict))
    assert options["rp"] == {"id": HOST, "name": "Ostiary"}
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert [each["alg"] for each in options["pubKeyCredParams"]] == [-7, -8, -35, -36, -257]
    assert len(options["excludeCredentials"]) == 1
    assert "corp" not in options["user"]["id"], "the handle says nothing about the person"
    asked = PARTY.request(CHALLENGE, [known])
    assert (asked["rpId"], asked["userVerification"]) == (HOST, "required")


def test_a_passkey_is_made_and_signs() -> None:
    key = SoftPasskey()
    credential = enrolled(key)
    signed = PARTY.signed(CHALLENGE, ANN, [credential], key.get(PARTY.request(CHALLENGE, []), ORIGIN).encode())
    assert (signed.credential_id, signed.counter, signed.synced) == (key.credential_id, 1, False)


def test_one_that_may_be_copied_says_so() -> None:
    key = SoftPasskey(synced=True)
    made = PARTY.enrolled(CHALLENGE, key.create(PARTY.enrolment(CHALLENGE, ANN, "ann", []), ORIGIN).encode())
    assert made.synced


LIES: dict[str, dict[str, Any]] = {
    "another origin": {"origin": "https://login.apps.test"},
    "an app of ours": {"origin": "https://wiki.apps.test:8443"},
    "a suffix": {"origin": "https://evil-login.apps.test:8443"},
    "our host over http": {"origin": "http://login.apps.test:8443"},
    "inside another site's page": {"cross_origin": True},
    "said to be inside, oddly": {"cross_origin": "yes"},
    "another relying party": {"rp_id": "apps.test"},
    "the other ceremony": {"type": "webauthn.other"},
    "another challenge": {"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    "no challenge": {"challenge": ""},
    "nobody present": {"flags": FLAG.UV},
    "nobody verified": {"flags": FLAG.UP},
    "backed up but not eligible": {"flags": HONEST | FLAG.BS},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lying_enrolment_is_refused(lie: dict[str, Any]) -> None:
    options = PARTY.enrolment(CHALLENGE, ANN, "ann", [])
    with pytest.raises(FactorRefused):
        PARTY.enrolled(CHALLENGE, SoftPasskey().create(options, ORIGIN, **lie).encode())


@pytest.mark.parametrize(
    "lie",
    [*LIES.values(), {"signed": b"something else"}, {"user_handle": user_handle("corp:bob")}, {"user_handle": b"x"}],
    ids=[*LIES, "a signature over something else", "somebody else's", "an odd user"],
)
def test_a_lying_signature_is_refused(lie: dict[str, Any]) -> None:
    key = SoftPasskey()
    credential = enrolled(key)
    with pytest.raises(FactorRefused):
        PARTY.signed(CHALLENGE, ANN, [credential], key.get(PARTY.request(CHALLENGE, []), ORIGIN, **lie).encode())


def test_an_enrolment_does_not_pass_for_a_signature_nor_the_reverse() -> None:
    key = SoftPasskey()
    credential = enrolled(key)
    made = key.create(PARTY.enrolment(CHALLENGE, ANN, "ann", []), ORIGIN).encode()
    with pytest.raises(FactorRefused):
        PARTY.signed(CHALLENGE, ANN, [credential], made)
    with pytest.raises(FactorRefused):
        PARTY.enrolled(CHALLENGE, key.get(PARTY.request(CHALLENGE, []), ORIGIN).encode())


def test_only_an_enrolled_passkey_signs() -> None:
    known, stranger = SoftPasskey(), SoftPasskey()
    credential = enrolled(known)
    with pytest.raises(FactorRefused):
        PARTY.signed(CHALLENGE, ANN, [credential], stranger.get(PARTY.request(CHALLENGE, []), ORIGIN).encode())
    stranger.credential_id = known.credential_id  # its name, not its key
    with pytest.raises(FactorRefused):
        PARTY.signed(CHALLENGE, ANN, [credential], stranger.get(PARTY.request(CHALLENGE, []), ORIGIN).encode())


def test_a_user_handle_that_is_ours_is_fine() -> None:
    key = SoftPasskey()
    credential = enrolled(key)
    answer = key.get(PARTY.request(CHALLENGE, []), ORIGIN, user_handle=user_handle(ANN))
    assert PARTY.signed(CHALLENGE, ANN, [credential], answer.encode()).counter == 1


@pytest.mark.parametrize(
    "answer",
    [b"", b"null", b"[]", b"{}", b'{"id":1}', b"{" * 5000, b"[" * 20_000, b'"' + b"a" * MOST_BYTES + b'"', b"\xff"],
)
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    for judged in (PARTY.enrolled, lambda challenge, said: PARTY.signed(challenge, ANN, [], said)):
        with pytest.raises(FactorRefused):
            judged(CHALLENGE, answer)


_HONEST = json.loads(SoftPasskey().create(PARTY.enrolment(CHALLENGE, ANN, "ann", []), ORIGIN))
_SIGNING = SoftPasskey()
_CREDENTIAL = enrolled(_SIGNING)
_SIGNED = json.loads(_SIGNING.get(PARTY.request(CHALLENGE, []), ORIGIN))
_junk = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=40), st.binary(max_size=40).map(bytes.hex))


@given(st.sampled_from(["clientDataJSON", "attestationObject", "rawId", "id", "type", "response"]), _junk)
def test_an_enrolment_with_anything_in_a_member_is_accepted_or_refused_and_never_fails(name: str, junk: Any) -> None:
    answer = json.loads(json.dumps(_HONEST))
    (answer["response"] if name in answer["response"] else answer)[name] = junk
    _either(lambda: PARTY.enrolled(CHALLENGE, json.dumps(answer).encode()))


@given(st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle", "rawId", "id"]), _junk)
def test_a_signature_with_anything_in_a_member_is_refused_and_never_fails(name: str, junk: Any) -> None:
    answer = json.loads(json.dumps(_SIGNED))
    (answer["response"] if name not in ("rawId", "id") else answer)[name] = junk
    _either(lambda: PARTY.signed(CHALLENGE, ANN, [_CREDENTIAL], json.dumps(answer).encode()))


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_one_changed_byte_in_what_was_signed_is_refused(at: int, byte: int) -> None:
    from fido2.utils import websafe_decode, websafe_encode

    answer = json.loads(json.dumps(_SIGNED))
    data = bytearray(websafe_decode(answer["response"]["authenticatorData"]))
    at %= len(data)
    if data[at] == byte:
        return
    data[at] = byte
    answer["response"]["authenticatorData"] = websafe_encode(bytes(data))
    with pytest.raises(FactorRefused):
        PARTY.signed(CHALLENGE, ANN, [_CREDENTIAL], json.dumps(answer).encode())


def _either(judge: Any) -> None:
    with contextlib.suppress(FactorRefused):
        judge()
