"""Taking secrets out of text before it is logged. Pure.

The first line of defence is that nobody logs a secret; this is the second, for texts we did not write: messages of
libraries, tracebacks, URLs. It errs on the side of hiding too much.
"""

from __future__ import annotations

import re

HIDDEN = "[hidden]"

# Names whose values are secrets. Parts of names count, so that `refresh_token` and `X-Api-Key` are found; `token_type`
# and the like are hidden too, which costs nothing.
_NAMES = (  # with bounds on the rest of the name: what is matched may come from an attacker, and must cost little
    r"(?:[\w.-]{0,40}(?:authorization|cookie|secret|passw(?:or)?d|passphrase|token|assertion|api[_-]?key|private[_-]?key"
    r"|verifier|ticket)[\w.-]{0,40}|__Host-[\w-]{1,80})"
)
_SECRET_NAME = re.compile(rf"\A{_NAMES}\Z", re.IGNORECASE)
_QUOTED = r"""b?(["'])(?:\\.|(?!\{n}).)*(?:\{n}|\Z)"""  # escaped quotes or a cut end; {n}: group

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # PEM private keys, even when cut off
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    # header lines whose whole value is secret
    (re.compile(r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*:\s*)[^\r\n]+"), rf"\1\2{HIDDEN}"),
    # an authentication scheme with credentials
    (re.compile(r"(?i)\b(bearer|basic|dpop)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # JSON Web Tokens
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_.-]*"), HIDDEN),
    # user:password@ in URLs
    (re.compile(r"(?<=://)[^/\s@?#]+@"), f"{HIDDEN}@"),
    # "name": "value" of JSON and Python
    (
        re.compile(rf"""(?i)(["'])({_NAMES})\1(\s*[:=]\s*){_QUOTED.replace("{n}", "4")}"""),
        rf"\1\2\1\3\4{HIDDEN}\4",
    ),
    # name=value of queries, forms, cookies and keyword arguments
    (
        re.compile(rf"""(?i)(?<![\w.-])({_NAMES})=(?!=)(?:{_QUOTED.replace("{n}", "2")}|[^\s&;,"')]+)"""),
        rf"\1={HIDDEN}",
    ),
    # OAuth's own names mean other things too; what is long enough to be one is hidden
    (re.compile(r"(?i)(?<![\w.-])(code|state|nonce)=[\w.~%+/-]{8,}"), rf"\1={HIDDEN}"),
    # password: value
    (
        re.compile(r"(?i)\b(client_secret|passw(?:or)?d|passphrase)(\s*:\s*)(?!\s*\[hidden)[^\s,;\"']+"),
        rf"\1\2{HIDDEN}",
    ),
)


def redact(text: str) -> str:
    """`text` with what looks like a secret replaced by `[hidden]`. Applying it twice changes nothing more."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a field of this name is hidden whatever it holds."""
    return _SECRET_NAME.match(name) is not None
