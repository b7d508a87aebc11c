"""What every header field name means to a proxy.

Three classes matter on the way to an app: fields that only concern one connection (RFC 9110 §7.6.1), fields whose
truth only we can vouch for ("managed": identity, addresses, certificates, rewritten URLs), and all the rest, which
pass untouched. A managed name is recognised under every alias that some server folds into it: case, `_`, `.`, and
whatever else a name may hold between its words.
"""

from __future__ import annotations

import re
from enum import IntEnum

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 §5.6.2
_VALUE_BYTES = bytes([9, *range(32, 127), *range(128, 256)])  # RFC 9110 §5.5: no control byte but HTAB


class Field(IntEnum):
    """What to do with a field. PASS and DROP need no further reading."""

    PASS = 0
    DROP = 1
    HOST = 2
    COOKIE = 3
    CONNECTION = 4
    CONTENT_LENGTH = 5
    TRANSFER_ENCODING = 6
    EXPECT = 7
    UPGRADE = 8
    FORWARDED_FOR = 9
    SET_COOKIE = 10
    REWRITTEN = 11  # passes, written anew because of odd blanks around its value
    AUTHORIZATION = 12  # passes, unless the gateway finds in it a token that is meant for us


HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade".split()
)

MANAGED = frozenset(
    b"forwarded via x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip "
    b"x-envoy-external-address x-appengine-user-ip x-rewrite-url x-request-id x-remote-user remote-user "
    b"x-webauth-user client-cert client-cert-chain proxy client-ip x-clientip x-remote-addr x-remote-ip "
    b"x-azure-clientip x-azure-socketip wl-proxy-client-ip wl-proxy-client-cert wl-proxy-ssl x-arr-clientcert "
    b"x-arr-ssl x-host x-scheme x-url-scheme x-proxyuser-ip front-end-https x-proxied-proto "
    b"remote-groups remote-email remote-name remote-addr "
    # a method the policy did not decide on
    b"x-http-method-override x-http-method x-method-override".split()
)

MANAGED_PREFIXES = (
    b"x-ostiary-",
    b"x-forwarded-",
    b"x-original-",
    b"x-auth-request-",
    b"x-ssl-client-",
    b"ssl-client-",
    b"x-client-cert",
    b"x-authenticated-",
)

_REQUEST: dict[bytes, Field] = {
    b"host": Field.HOST,
    b"cookie": Field.COOKIE,
    b"connection": Field.CONNECTION,
    b"content-length": Field.CONTENT_LENGTH,
    b"transfer-encoding": Field.TRANSFER_ENCODING,
    b"expect": Field.EXPECT,
    b"upgrade": Field.UPGRADE,
    b"x-forwarded-for": Field.FORWARDED_FOR,
    b"authorization": Field.AUTHORIZATION,
}

_RESPONSE: dict[bytes, Field] = {
    b"connection": Field.CONNECTION,
    b"content-length": Field.CONTENT_LENGTH,
    b"transfer-encoding": Field.TRANSFER_ENCODING,
    b"upgrade": Field.UPGRADE,
    b"set-cookie": Field.SET_COOKIE,
}

_SEPARATORS = re.compile(rb"[^a-z0-9]+")
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"cookie", b"expect"))


def folded_name(name: bytes) -> bytes:
    """A field name as the most careless server reads it: lower case, whatever is no letter or digit as one `-`."""
    return _SEPARATORS.sub(b"-", name.lower())


def is_managed(name: bytes) -> bool:
    """Whether a field of this name (any case, any alias) may only be written by us."""
    folded = folded_name(name)
    return folded in MANAGED or folded.startswith(MANAGED_PREFIXES)


def request_field(name: bytes) -> Field:
    """What a request field of this name means. `name` is a valid token in any case."""
    lower = name.lower()
    known = _REQUEST.get(lower)
    if known is not None:
        return known
    folded = folded_name(lower)
    if folded in HOP_BY_HOP or folded in MANAGED or folded.startswith(MANAGED_PREFIXES):
        return Field.DROP
    if folded != lower and folded in _FRAMING:
        return Field.DROP  # `Content_Length`, which a CGI-style app would read as the real one
    return Field.PASS


def response_field(name: bytes) -> Field:
    """What a response field of this name means. `name` is a valid token in any case."""
    lower = name.lower()
    known = _RESPONSE.get(lower)
    if known is not None:
        return known
    return Field.DROP if lower in HOP_BY_HOP else Field.PASS


def valid_value(value: bytes) -> bool:
    """Whether `value` holds no control byte but HTAB (RFC 9110 §5.5)."""
    return not value.translate(None, _VALUE_BYTES)
