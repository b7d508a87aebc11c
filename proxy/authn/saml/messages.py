"""The shapes that go in and out of this package."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Literal

import msgspec

from proxy.authn.saml import strict_xml
from proxy.model.device import Observation
from proxy.model.identity import Identity

Binding = Literal["redirect", "post"]
_HEAD = 16 * 1024  # characters of base64, twice what a first tag needs: half may be line breaks; a multiple of four
_ANSWERS = re.compile(rb"\s*(?:<\?xml[^<>]*\?>\s*)?<[^<>]*?\sInResponseTo\s*=\s*[\"']([A-Za-z0-9_.-]{1,256})[\"']")


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """Us, as one provider knows us. All three are absolute addresses; `entity_id` may be any URI."""

    entity_id: str
    acs_url: str  # where it posts responses (AssertionConsumerService)
    slo_url: str  # where it sends logout messages, by either binding (SingleLogoutService)


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """What the browser is to carry to the provider.

    `redirect`: go to `url`, which holds everything; `fields` is empty. `post`: submit `fields` as a form to `url`.
    """

    kind: Binding
    url: str
    fields: dict[str, str] = {}


class NameId(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name a provider gave somebody, with everything a logout must repeat. SAML core, section 2.2.2."""

    value: str
    format: str = ""
    name_qualifier: str = ""
    sp_name_qualifier: str = ""

    def reference(self, session_index: str) -> str:
        """A stable name of this login, for `provider_sid`: a hash, since a NameID may be a mail address."""
        told = (self.value, self.format, self.name_qualifier, self.sp_name_qualifier, session_index)
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:40]


class SamlLogin(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted assertion. The caller consumes `assertion_id` (once, remembered until `assertion_expires`) before it
    makes a session, and keeps `name_id` and `session_index` with the session, for logout.

    Times are seconds since the epoch. `identity.session` is "".
    """

    identity: Identity
    provider_sid: str  # for `by_provider_session`
    name_id: NameId
    session_index: str  # "" when the provider has none
    session_expires: float | None  # the session must end by then (SessionNotOnOrAfter)
    assertion_id: str  # unique for all providers: it begins with the provider's name
    assertion_expires: float
    device_claims: dict[str, Observation] = {}


class LogoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A verified request of the provider to end sessions. `key` is consumed once, remembered until `expires`.

    `sessions` are the (subject, provider_sid) pairs to end, as `Sessions.end_at_provider` takes them.
    """

    id: str  # for InResponseTo of the answer
    name_id: NameId
    session_indexes: tuple[str, ...]
    sessions: tuple[tuple[str, str], ...]
    relay_state: str
    key: str
    expires: float


def in_response_to(saml_response: str) -> str | None:
    """The request a base64 response claims to answer: a hint to find the attempt by, proof of nothing.

    Read off the first tag, without a parser, so that a large document costs no more than a small one. None when it
    names none or cannot be read.
    """
    start = saml_response[:_HEAD]
    try:
        head = base64.b64decode("".join(start.split())[: _HEAD // 2].encode("ascii"))
    except (ValueError, binascii.Error):
        return None
    found = _ANSWERS.match(head)
    value = found.group(1).decode("ascii") if found else ""
    return value if strict_xml.is_id(value) else None
