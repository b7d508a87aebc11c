"""The query with which a browser returns from the provider. Pure. RFC 6749 §4.1.2, RFC 9207."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from proxy.authn.errors import CallbackInvalid

# RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6. Any other code is replaced, so that nobody can put words of
# their own on our page by making a link to it.
KNOWN_ERRORS = frozenset(
    {
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "interaction_required",
        "login_required",
        "account_selection_required",
        "consent_required",
        "invalid_request_uri",
        "invalid_request_object",
        "request_not_supported",
        "request_uri_not_supported",
        "registration_not_supported",
    }
)
UNKNOWN_ERROR = "unknown_error"
_MAX_QUERY = 16 * 1024
_MAX_VALUE = 8 * 1024
_MAX_FIELDS = 32
_USED = ("code", "state", "iss", "error")


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. Exactly one of `code` and `error` is set; `state` is never empty.

    `error` is a code from a closed list, safe to show; `description` is the sender's text, made printable, for the
    log only. `iss` is None when absent (RFC 9207).
    """

    state: str
    code: str = ""
    error: str = ""
    description: str = ""
    iss: str | None = None

    def __repr__(self) -> str:
        return f"Callback(code={'…' if self.code else None}, error={self.error or None!r}, iss={self.iss!r})"


def parse_callback(query: str) -> Callback:
    """Read the query (without `?`) of a request to the callback address.

    Raises `CallbackInvalid` when a parameter appears twice (RFC 6749 §3.1), `state` is missing, both or neither of
    `code` and `error` are there, or the encoding is not UTF-8 percent-encoding.
    """
    fields = _fields(query)
    state = fields.get("state", "")
    if not state:
        raise CallbackInvalid("the callback has no state")
    code, error = fields.get("code", ""), fields.get("error", "")
    if bool(code) == bool(error):
        raise CallbackInvalid("the callback must have either a code or an error")
    return Callback(
        state=state,
        code=code,
        error=(error if error in KNOWN_ERRORS else UNKNOWN_ERROR) if error else "",
        description=printable(fields.get("error_description", ""), 200),
        iss=fields.get("iss"),
    )


def printable(text: str, limit: int) -> str:
    """`text` as one printable line of at most `limit` characters."""
    return "".join(c if c.isprintable() else " " for c in text[:limit]).strip()


def _fields(query: str) -> dict[str, str]:
    if len(query) > _MAX_QUERY:
        raise CallbackInvalid("the callback query is too long")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise CallbackInvalid("the callback query cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise CallbackInvalid("the callback repeats a parameter")
    if any(len(value) > _MAX_VALUE or not value.isprintable() for value in map(fields.get, _USED) if value):
        raise CallbackInvalid("the callback has a parameter that is too long or not printable")
    return fields
