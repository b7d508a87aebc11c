"""Three ways a login does not happen. The text is for the log and the administrator; it never holds a token."""

from __future__ import annotations


class AuthnError(Exception):
    """Base of everything this package raises on purpose."""


class ProviderUnavailable(AuthnError):
    """Transient: the provider does not answer, or answers with an error of its own. Sessions live on for a grace."""


class ProviderMisconfigured(ProviderUnavailable):
    """The provider and our configuration do not fit (wrong issuer, credentials, endpoints): an administrator must act.

    Treated like an outage, because it says nothing about the person who is logging in.
    """


class LoginRefused(AuthnError):
    """Permanent: what was presented proves nobody, or the provider said no."""


class CallbackInvalid(LoginRefused):
    """The browser came back from the provider with a query that no honest provider produces."""


class TokenInvalid(LoginRefused):
    """A token failed a check."""


class UnknownKey(TokenInvalid):
    """A token names a key the provider does not publish."""
