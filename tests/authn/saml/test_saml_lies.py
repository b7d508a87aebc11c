"""Each lie of saml_lies.yaml, told once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from saml_idp import Idp
from saml_signer import certificate_pem, ec_key, rsa_key
from saml_stage import Make, login

from proxy.authn.errors import LoginRefused
from proxy.authn.saml import signature
from proxy.settings import schema

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "saml_lies.yaml").read_text(encoding="utf-8"))


def settings_of(case: dict[str, Any]) -> dict[str, Any]:
    settings = dict(case.get("settings", {}))
    if "attributes" in settings:
        settings["attributes"] = schema.SamlAttributes(**settings["attributes"])
    return settings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_lie(idp: Idp, make: Make, case: dict[str, Any]) -> None:
    key = {
        "mallory": rsa_key("mallory"),
        "HMAC": certificate_pem(idp.keys[0]),
        "EC": ec_key("idp"),
    }.get(case.get("key", ""))
    response = idp.response(
        signed=case.get("signed", "assertion"), key=key, lies=case.get("lies"), **case.get("told", {})
    )
    provider = make(**settings_of(case))
    if "refused" not in case:
        assert (await login(provider, response)).identity.subject == "alice@partner.example"
        return
    with pytest.raises(LoginRefused, match=case["refused"]) as refusal:
        await login(provider, response)
    assert "alice" not in str(refusal.value), "a reason goes to the log and names nobody"


FORMS = ("algorithm", "transform", "reference", "something else", "parts", "parameters", "canonicalisation")


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if "lies" in case and any(word in case.get("refused", "") for word in FORMS)],
    ids=lambda case: case["name"],
)
async def test_no_engine_ever_sees_it(
    idp: Idp, make: Make, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that is not accepted is refused before anything is transformed, canonicalised or resolved."""

    class Engine:
        def __init__(self) -> None:
            raise AssertionError("the verifier was given it")

    monkeypatch.setattr(signature, "XMLVerifier", Engine)
    key = {"HMAC": certificate_pem(idp.keys[0])}.get(case.get("key", ""))
    response = idp.response(key=key, lies=case["lies"], **case.get("told", {}))
    with pytest.raises(LoginRefused, match=case["refused"]):
        await login(make(), response)


def test_names_are_told_apart() -> None:
    names = [case["name"] for case in CASES]
    assert len(set(names)) == len(names)
