"""No way of wrapping a signed part makes us read another one."""

from __future__ import annotations

import pytest
from saml_idp import Idp
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
