"""What the parts of a configuration are called, what each looks like, and where a misplaced key belongs. Pure."""

from __future__ import annotations

from difflib import get_close_matches

import msgspec

from proxy.settings import schema

NOUNS: dict[type, str] = {
    schema.Configuration: "the configuration",
    schema.RouteFile: "a routes file",
    schema.Route: "route",
    schema.Rule: "rule",
    schema.Provider: "provider",
    schema.Listener: "listener",
}

PATTERNS: dict[str, tuple[str, str]] = {
    "^[a-z0-9][a-z0-9-]{0,31}$": (
        "is not a valid name here",
        'use 1 to 32 lower-case letters, digits and "-", beginning with a letter or digit',
    ),
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": (
        "is not a valid name here",
        'use 1 to 64 letters, digits, ".", "_" and "-", beginning with a letter or digit',
    ),
    "^([01][0-9]|2[0-3]):[0-5][0-9]$": ("is not a time of day", 'write HH:MM in quotes, such as "08:30"'),
    "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": (
        "is not a time of day",
        'write HH:MM in quotes, such as "18:00" or "24:00"',
    ),
}

EXAMPLES: dict[str, str] = {
    "client_secret": "client_secret: {env: OIDC_SECRET}, or {file: path}",
    "key": "key: {env: NAME}, or {file: path}",
    "allow": "allow: [{name: staff, authenticated: true}]",
    "deny": "deny: [{name: not-from-guests, networks: [10.9.0.0/16]}]",
    "routes": "routes: [{name: …, from: https://…, to: http://…}]",
    "listeners": "listeners: [{address: 127.0.0.1:8443, tls: …}]",
    "providers": "providers: [{name: …, issuer: https://…, client_id: …}]",
    "assertion": "assertion: {key: certs/assertion.key}",
    "certificates": "certificates: [{cert: certs/apps.crt, key: certs/apps.key}]",
    "tls": "tls: {certificates: [{cert: …, key: …}]}",
    "redirect": "redirect: {url: https://…}",
    "refusal": "refusal: {text: …}",
    "timeouts": "timeouts: {idle: 5m}",
    "hours": 'hours: [{from: "08:00", to: "18:00", zone: Europe/Berlin}]',
    "not": "not: {networks: [10.9.0.0/16]}",
    "claims": "claims: {department: sales}",
    "set": "set: {X-Team: payments}",
}


def kind(value: object) -> str:
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return kinds.get(type(value), "text")


def written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def closest(word: str, among: list[str]) -> str | None:
    found = get_close_matches(word.lower(), among, n=1, cutoff=0.6)
    return found[0] if found else None


def _homes() -> dict[str, list[str]]:
    """Which Structs have which key, for the hint about a key that is in the wrong place."""
    homes: dict[str, list[str]] = {}
    for struct, noun in (
        (schema.Rule, "a rule"),
        (schema.Route, "a route"),
        (schema.Listener, "a listener"),
        (schema.Provider, "a login provider"),
        (schema.Configuration, "ostiary.yaml itself"),
    ):
        for field in msgspec.structs.fields(struct):
            homes.setdefault(field.encode_name, []).append(noun)
    return homes


HOMES = _homes()
UNHELPFUL_HOME = frozenset({"name", "claims"})
