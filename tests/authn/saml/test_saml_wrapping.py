"""No way of wrapping a signed part makes us read another one."""

from __future__ import annotations

import pytest
from saml_idp import Idp
from saml_signer import sign
from saml_stage import Make, login
from saml_wrapping import EVIL, OF_ASSERTION, OF_RESPONSE

from proxy.authn.errors import LoginRefused


@pytest.mark.parametrize("name", OF_ASSERTION)
@pytest.mark.parametrize("signed", ["assertion", "assertion and response"])
async def test_around_a_signed_assertion(idp: Idp, make: Make, name: str, signed: str) -> None:
    forged = OF_ASSERTION[name](idp.response(signed=signed))
    with pytest.raises(LoginRefused):
        await login(make(), forged)


@pytest.mark.parametrize("name", OF_RESPONSE)
@pytest.mark.parametrize("signed", ["response", "assertion and response"])
async def test_around_a_signed_response(idp: Idp, make: Make, name: str, signed: str) -> None:
    forged = OF_RESPONSE[name](idp.response(signed=signed))
    try:
        done = await login(make(), forged)
    except LoginRefused:
        return
    assert name == "evil_name_in_key_info", "nothing else is accepted, not even as what it was"
    assert done.identity.subject != EVIL


async def test_what_is_read_is_what_was_signed(idp: Idp, make: Make) -> None:
    """The envelope of a signed assertion is not signed: it can stop a login, and that is all."""
    response = idp.response()
    response.set("ID", "_changed")
    response[0].getparent().insert(2, response.makeelement("{urn:example}anything"))  # type: ignore[union-attr]  # root
    assert (await login(make(), response)).identity.subject == "alice@partner.example"


async def test_nothing_but_a_response_is_a_response(idp: Idp, make: Make) -> None:
    for name in ("{urn:example}Response", "{urn:oasis:names:tc:SAML:2.0:protocol}ArtifactResponse"):
        response = idp.response()
        response.tag = name
        with pytest.raises(LoginRefused, match="not a SAML response"):
            await login(make(), response)
    with pytest.raises(LoginRefused, match="not a SAML response"):
        await login(make(), idp.response()[-1])


async def test_a_response_without_an_assertion_says_nothing(idp: Idp, make: Make) -> None:
    for signed in ("nothing", "response"):
        response = idp.response(signed=signed)
        response.remove(response[-1])
        if signed == "response":
            response.remove(response[1])
            sign(response, idp.keys[0])
        with pytest.raises(LoginRefused, match="exactly one assertion, it has 0"):
            await login(make(), response)
