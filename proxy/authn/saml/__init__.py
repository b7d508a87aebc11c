"""SAML 2.0: us as the service provider of one identity provider, without any HTTP of ours.

Owns: reading XML that others wrote (`strict_xml`), signatures over it (`signature`, `redirect`), decryption
(`encryption`), the provider's metadata (`metadata`, `metadata_source`) and ours (`own_metadata`), what we send
(`authn_request`, `logout`) and what we accept (`response`, `assertion`, `attributes`, `logout`). `service_provider` is
the door: everything above this package uses `SamlProvider` and the shapes of `messages`.
The one rule that everything rests on: what is read for a decision is read from the bytes a signature was verified over,
parsed anew, never from the document that arrived.
Must not know: routes, policy, cookies, pages, how a session is stored, who consumes an assertion's id.
To add: a check on a response goes into `response` or `assertion`, with a row in tests/authn/saml/saml_lies.yaml.

Sources: SAML 2.0 core, bindings, profiles and metadata (OASIS, 2005) with their errata; the metadata
interoperability profile (2009); XML Signature 1.1 and XML Encryption 1.1 (W3C, 2013).
"""

from proxy.authn.saml.keypair import Keys, make_key
from proxy.authn.saml.messages import Entity, LogoutRequest, NameId, Outgoing, SamlLogin, in_response_to
from proxy.authn.saml.service_provider import SamlProvider

__all__ = [
    "Entity",
    "Keys",
    "LogoutRequest",
    "NameId",
    "Outgoing",
    "SamlLogin",
    "SamlProvider",
    "in_response_to",
    "make_key",
]
