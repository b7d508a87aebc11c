"""Where people log in, and how strongly."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from proxy.settings.schema.base import Duration, PlainName, SecretRef, Size, Strict


class ClaimsMapping(Strict, frozen=True, kw_only=True):
    """Which claim holds what; dots reach into nested objects (`realm_access.roles`)."""

    subject: str = "sub"
    email: str = "email"
    name: str = "name"
    groups: str = "groups"


class Mfa(Strict, frozen=True, kw_only=True):
    """How to see that a login at this provider used several factors: any of these values of `acr` (for SAML the
    AuthnContextClassRef) or of `amr`. `ask` is what to ask the provider for when a rule wants `mfa: true`."""

    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ("mfa",)
    ask: tuple[str, ...] = ()  # acr_values, or AuthnContextClassRefs; default: those of `acr`


class _AnyProvider(Strict, frozen=True, kw_only=True):
    """What every provider has."""

    name: PlainName
    title: str | None = None  # on the chooser; default: name
    domains: tuple[str, ...] = ()
    ca: str | None = None  # PEM file; default: the system's authorities
    believe_groups: tuple[str, ...] | None = None  # groups it may name, `*` as the last character; default: any
    mfa: Mfa = Mfa()
    step_up: Literal["provider", "own"] = "provider"  # who asks for more: the provider, or our own second factor
    device: dict[str, str] = {}  # device attribute → claim (or assertion attribute) that tells it
    device_expiry: Duration = Duration(12 * 3600)  # how long what it says about a device counts


class Provider(_AnyProvider, frozen=True, kw_only=True, tag_field="type", tag="oidc"):
    """An OpenID provider. `domains` sends people who type a mail address of these domains straight to it."""

    issuer: str
    client_id: str
    client_secret: SecretRef | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile", "groups")
    claims: ClaimsMapping = ClaimsMapping()
    algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    trust_unverified_email: bool = False
    authorization_params: dict[str, str] = {}


class SamlAttributes(Strict, frozen=True, kw_only=True):
    """Which attribute of the assertion holds what; "" is not read. The subject is the NameID unless named here."""

    subject: str = ""
    email: str = "email"
    name: str = "name"
    groups: str = "groups"


class SamlProvider(_AnyProvider, frozen=True, kw_only=True, tag_field="type", tag="saml"):
    """A SAML 2.0 identity provider. Its mail addresses are believed only for the domains it is listed with."""

    metadata: str  # file, or https URL that is fetched again every `metadata_refresh`
    metadata_refresh: Duration = Duration(3600)
    metadata_certificate: str | None = None  # PEM file; then the metadata must be signed with it
    idp: str | None = None  # entity ID, when the metadata describes several
    entity_id: str | None = None  # ours; default: the address of our metadata
    key: str | None = None  # PEM key that signs what we send and opens what is encrypted; made when absent
    certificate: str | None = None  # PEM, belongs to `key`
    previous_key: str | None = None  # still opens what is encrypted, while the provider learns the new one
    attributes: SamlAttributes = SamlAttributes()
    name_id: Literal["persistent", "transient", "email", "unspecified"] = "unspecified"
    idp_initiated: bool = False  # accept assertions nobody here asked for
    require_encryption: bool = False


AnyProvider = Provider | SamlProvider


class SecondFactor(Strict, frozen=True, kw_only=True):
    """Our own second factor, for people whose provider has none: passkeys, and one-time codes with recovery codes."""

    passkeys: bool = True
    codes: bool = True
    attempts: Annotated[int, Meta(ge=3, le=20)] = 5  # wrong ones in `window`, per person
    window: Duration = Duration(900)


class Login(Strict, frozen=True, kw_only=True):
    """The host of our own pages and the identity providers. Without providers only certificates identify anybody."""

    url: str
    providers: tuple[AnyProvider, ...] = ()
    second_factor: SecondFactor = SecondFactor()
    interrupted_post: Size = Size(256 * 1024)  # a form posted when one must log in first is kept up to this size
