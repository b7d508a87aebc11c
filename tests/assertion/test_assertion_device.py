"""What an app is told about the device and about our own second factor: little, true now, and never more than fits."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.assertion import Signer
from proxy.model.device import Device, Observation
from proxy.model.identity import Identity

NOW = 1_772_366_400.0
ANN = Identity(kind="person", subject="1", provider="corp", auth_time=NOW - 100, amr=("pwd", "otp"))
KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER = Signer(
    [KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())], "https://login.example", lifetime=300
)


def claims(identity: Identity, device: Device | None, now: float = NOW) -> dict[str, Any]:
    """What an app reads."""
    token = SIGNER.sign(identity, "https://app.example", now, device)
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def seen(value: Any, *, expires: float = NOW + 60, observed: float = NOW - 60) -> Observation:
    return Observation(value=value, source="management:mdm", observed=observed, expires=expires)


def test_a_device_is_told_in_few_words() -> None:
    laptop = Device(
        id="laptop-7",
        binding="agent",
        attributes={
            "managed": seen(True),
            "compliant": seen(False),
            "serial": seen("C02"),
            "custom.note": seen("x" * 999),
        },
    )
    told = {"id": "laptop-7", "binding": "agent", "managed": True, "compliant": False}
    assert claims(ANN, laptop)["device"] == told
    assert "device" not in claims(ANN, None)
    assert claims(ANN, Device())["device"] == {"binding": "provider"}


def test_what_has_expired_or_is_no_truth_value_is_left_out() -> None:
    for value in (seen(True, expires=NOW), seen("true"), seen(1), seen(True, observed=NOW + 61)):
        laptop = Device(id="a", binding="certificate", attributes={"managed": value})
        assert claims(ANN, laptop)["device"] == {"id": "a", "binding": "certificate"}


@given(st.text(max_size=2000))
def test_an_assertion_stays_small(name: str) -> None:
    laptop = Device(id=name, attributes={f"custom.{name}": seen(name), "managed": seen(True)})
    assert len(SIGNER.sign(ANN, "https://app.example", NOW, laptop)) < 3072


def test_our_own_second_factor_counts() -> None:
    confirmed = replace(ANN, second_factor=("otp", "hwk"), second_factor_at=NOW - 10)
    told = claims(confirmed, None)
    assert told["amr"] == ["pwd", "otp", "hwk"]
    assert told["auth_time"] == NOW - 10
    assert claims(replace(confirmed, auth_time=NOW - 5), None)["auth_time"] == NOW - 5
    assert claims(replace(confirmed, auth_time=None), None)["auth_time"] == NOW - 10
    assert claims(ANN, None)["amr"] == ["pwd", "otp"]
