"""Vendors' answers as attributes, and signatures of webhooks: recorded, tampered with, and made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from device_people import NOON
from hypothesis import given
from hypothesis import strategies as st

from proxy.devices.management import crowdstrike, fleet, intune
from proxy.devices.management.signature import FUTURE, WINDOW, WebhookRefused, sign, verify
from proxy.devices.management.webhook import read
from proxy.devices.management.words import Told, moment, system_of, version_in
from proxy.devices.reports import checked

ANSWERS = yaml.safe_load((Path(__file__).parent / "management_answers.yaml").read_text(encoding="utf-8"))
POLICIES = {"firewall": "Firewall on", "screen_lock": "Screen locks", "secure_boot": "Secure boot"}
SECRET, OLD = b"a shared secret of a good length", b"the secret of the month before it"
BODY = b'{"devices": []}'


def told_by(vendor: str, case: dict[str, Any]) -> Told | None:
    row = case["answer"]
    if vendor == "intune":
        return intune.told_by(row)
    if vendor == "crowdstrike":
        return crowdstrike.told_by(row, case.get("assessment"))
    return fleet.told_by(row, POLICIES)


@pytest.mark.parametrize(
    ("vendor", "case"), [(vendor, case) for vendor, cases in ANSWERS.items() for case in cases], ids=lambda one: ""
)
def test_a_recorded_answer(vendor: str, case: dict[str, Any]) -> None:
    told = told_by(vendor, case)
    if case["matches"] is None:
        assert told is None
        return
    assert told is not None
    assert (told.matches, told.values) == (case["matches"], case["values"])
    assert NOON - 86_400 < told.observed <= NOON
    assert checked(told.values) == told.values, "the inventory takes it as it is"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
KNOWN = sorted({name for cases in ANSWERS.values() for case in cases for name in case["answer"]})


@given(st.sampled_from(sorted(ANSWERS)), st.dictionaries(st.sampled_from(KNOWN), JSON, max_size=12))
def test_any_answer_is_read_and_the_inventory_takes_what_comes_of_it(vendor: str, row: dict[str, Any]) -> None:
    told = told_by(vendor, {"answer": row, "assessment": row})
    if told is not None:
        assert checked(told.values) == told.values


@given(st.text())
def test_any_text_is_a_time_a_version_or_nothing(text: str) -> None:
    assert moment(text) is None or moment(text) > 0  # type: ignore[operator]  # not None on the right
    checked(version_in(text) | system_of(text))


class TestSignature:
    def test_the_right_one_with_either_secret(self) -> None:
        for secret in (SECRET, OLD):
            assert verify(sign(secret, BODY, NOON), BODY, (SECRET, OLD), NOON)
        both = f"{sign(OLD, BODY, NOON)},{sign(SECRET, BODY, NOON).split(',')[1]}"
        assert verify(both, BODY, (SECRET,), NOON)

    def test_the_same_message_has_one_name_and_no_other_has_it(self) -> None:
        names = [
            verify(sign(secret, body, when), body, (SECRET, OLD), NOON)
            for secret, body, when in (
                (SECRET, BODY, NOON),
                (OLD, BODY, NOON),
                (SECRET, BODY + b" ", NOON),
                (SECRET, BODY, NOON + 1),
            )
        ]
        assert names[0] == names[1]
        assert len(set(names)) == 3

    @pytest.mark.parametrize("off", [-WINDOW, FUTURE, -WINDOW - 1, FUTURE + 1])
    def test_its_time(self, off: float) -> None:
        header = sign(SECRET, BODY, NOON + off)
        if -WINDOW <= off <= FUTURE:
            assert verify(header, BODY, (SECRET,), NOON).sent == NOON + off
        else:
            with pytest.raises(WebhookRefused, match="too old, or from the future"):
                verify(header, BODY, (SECRET,), NOON)

    @pytest.mark.parametrize(
        "change",
        [
            lambda header: "",
            lambda header: header.upper(),
            lambda header: header.replace("v1", "v0"),
            lambda header: header.replace(",", ", "),
            lambda header: header + " ",
            lambda header: header + "\n",
            lambda header: header.replace("t=1", "t=+1"),
            lambda header: header.replace("t=1", "t=01"),
            lambda header: header[:-1],
            lambda header: header + "0",
            lambda header: header[:-1] + ("0" if header[-1] != "0" else "1"),
            lambda header: header.partition(",")[0],
            lambda header: header.partition(",")[2],
            lambda header: f"{header},{header}",
            lambda header: header + (",v1=" + "0" * 64) * 4,
            lambda header: sign(b"another secret", BODY, NOON),
            lambda header: sign(b"", BODY, NOON),
            lambda header: sign(SECRET, b"", NOON),
            lambda header: header.replace(str(int(NOON)), str(int(NOON) + 1)),
        ],
    )
    def test_forged(self, change: Any) -> None:
        with pytest.raises(WebhookRefused):
            verify(change(sign(SECRET, BODY, NOON)), BODY, (SECRET, OLD), NOON)

    def test_nobody_knows_a_secret_that_is_not_there(self) -> None:
        with pytest.raises(WebhookRefused):
            verify(sign(b"", BODY, NOON), BODY, (), NOON)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not as it should be"),
        (b"[]", "not as it should be"),
        (b"[" * 9000, "not as it should be"),
        (b'{"devices": 1}', "devices"),
        (b'{"devices": [{}]}', "match"),
        (b'{"devices": [{"match": {}, "attributes": {}}]}', "names no device"),
        (b'{"devices": [{"match": {"email": "a@b"}, "attributes": {}}]}', "names no device"),
        (b'{"devices": [{"match": {"serial": ""}, "attributes": {}}]}', "length"),
        (b'{"devices": [{"match": {"serial": 7}, "attributes": {}}]}', "serial"),
        (b'{"devices": [{"match": {"host": "a"}, "attributes": {}}]}', "host"),
        (b'{"devices": [{"match": {"serial": "a"}, "attributes": {"managed": null}}]}', "attributes"),
        (b'{"devices": [{"match": {"serial": "a"}, "attributes": {"x": {"y": 1}}}]}', "attributes"),
        (b'{"devices": [{"match": {"serial": "a"}, "attributes": {}, "observed": 1800000061}]}', "no time of the past"),
        (b'{"devices": [{"match": {"serial": "a"}, "attributes": {}, "observed": -1}]}', "no time of the past"),
        (b'{"devices": [], "more": 1}', "more"),
        (b'{"devices": [], "devices": []}', "repeats a name"),
        (b'{"devices": [{"match": {"id": "a", "id": "b"}, "attributes": {}}]}', "repeats a name"),
        (b'{"devices": [{"match": {"id": "a"}, "attributes": {"x": 1, "x": 2}}]}', "repeats a name"),
        (b'{"devices": [{"match": {"id": "a"}, "attributes": {"score": ' + b"9" * 400 + b"}}]}", "64 bits"),
        (b'{"devices": [{"match": {"id": "a"}, "attributes": {}, "observed": ' + b"9" * 400 + b"}]}", "64 bits"),
        (b'{"devices": [{"match": {"id": "a"}, "attributes": {}, "observed": 1e999}]}', "64 bits"),
        (b'{"devices": [' + b",".join([b'{"match": {"id": "a"}, "attributes": {}}'] * 501) + b"]}", "length"),
    ],
)
def test_what_no_webhook_says(body: bytes, says: str) -> None:
    with pytest.raises(WebhookRefused, match=says):
        read(body, sent=NOON, now=NOON)


@pytest.mark.parametrize(
    ("observed", "sent", "counts"),
    [
        ("", -200.0, -200.0),
        ("", 45.0, 0.0),
        (', "observed": 1799999900', -200.0, -100.0),
        (', "observed": 1', 0.0, 1 - NOON),
    ],
)
def test_when_it_was_observed(observed: str, sent: float, counts: float) -> None:
    body = b'{"devices": [{"match": {"serial": "a"}, "attributes": {}' + observed.encode() + b"}]}"
    assert read(body, sent=NOON + sent, now=NOON)[0].observed == NOON + counts
