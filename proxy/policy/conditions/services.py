"""`services`: which program, by the name its certificate or token proves.

SPIFFE IDs, DNS names and names by token (`ISSUER:name`) match exactly. `spiffe://example.org/ci/*` and `ci:acme/*`
stand for exactly one more segment (of a name by token, what is between `/` or `:`); `*.svc.example` for exactly one
first label. A name by token is only ever compared with the subject of an identity of that issuer, never with a name
that a certificate has. A person is known not to be a service; for nobody it is unknown.
"""

from __future__ import annotations

import re

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy.asker import Asker, Kind
from proxy.policy.conditions.base import AskerCondition, either, texts
from proxy.policy.logic import EITHER, FALSE, TRUE, UNKNOWN, Value, truth

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*+").fullmatch
_ONE_LABEL = re.compile(_LABEL).fullmatch
_SPIFFE = re.compile(r"spiffe://[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)*+(?:/\*)?").fullmatch
_ISSUED = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:(?:[A-Za-z0-9._:@/-]*[/:])?(?:\*|[A-Za-z0-9._@-]+)").fullmatch
_ONE_SEGMENT = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_ONE_ISSUED = re.compile(r"[A-Za-z0-9._@-]+").fullmatch


class Services(AskerCondition):
    """A service by one of these names."""

    name = "services"

    def __init__(self, services: object) -> None:
        self._listed = texts(services)
        for name in self._listed:
            _check(name)
        proved = [name for name in self._listed if not _is_issued(name)]
        self._exact = frozenset(name for name in proved if "*" not in name)
        self._folders = frozenset(name[:-1] for name in proved if name.endswith("/*"))  # "spiffe://td/a/"
        self._parents = frozenset(name[1:] for name in proved if name.startswith("*."))  # ".svc.example"
        issued = [name for name in self._listed if _is_issued(name)]
        self._issued = frozenset(name for name in issued if not name.endswith("*"))
        self._issued_folders = frozenset(name[:-1] for name in issued if name.endswith("*"))  # "ci:acme/", "k8s:"

    def settled(self, asker: Asker) -> Value:
        """The value for this asker."""
        if asker.kind is Kind.SERVICE:
            return truth(self._names_issued(asker.identity) or any(self._names(name) for name in asker.names))
        return {Kind.NOBODY: UNKNOWN, Kind.SOME_SERVICE: EITHER}.get(asker.kind, FALSE)

    def _names(self, name: str) -> bool:
        if name in self._exact:
            return True
        if name.startswith("spiffe://"):
            folder, slash, segment = name.rpartition("/")
            return folder + slash in self._folders and _is_segment(segment)
        label, dot, parent = name.partition(".")
        return dot + parent in self._parents and _ONE_LABEL(label) is not None

    def _names_issued(self, identity: Identity | None) -> bool:
        if identity is None or not identity.provider or not identity.subject.startswith(f"{identity.provider}:"):
            return False
        name = identity.subject
        end = max(name.rfind("/"), name.rfind(":")) + 1
        return name in self._issued or (name[:end] in self._issued_folders and _ONE_ISSUED(name[end:]) is not None)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks; only services are told names of services."""
        if asker.identity is None:
            return "Neither a client certificate nor a token of a service was accepted."
        if asker.kind is not Kind.SERVICE:
            return "This is for services, and a person is asking."
        no = "" if value == TRUE else "not "
        return f"The service {asker.identity.subject} is {no}{either(self._listed)}."


def _is_segment(segment: str) -> bool:
    return segment not in {".", ".."} and _ONE_SEGMENT(segment) is not None


def _is_issued(name: str) -> bool:
    return ":" in name and not name.startswith("spiffe:")


def _check(name: str) -> None:
    if name.startswith("spiffe:"):
        if _SPIFFE(name) is None or not {".", ".."}.isdisjoint(name.split("/")):
            raise ValueError(
                f"{name!r} is not a SPIFFE ID: write it like spiffe://example.org/ci/deploy; "
                "a * may only stand for the whole last segment"
            )
    elif _is_issued(name):
        if _ISSUED(name) is None or not {"", ".", ".."}.isdisjoint(name.replace(":", "/").split("/")):
            raise ValueError(
                f"{name!r} is not a name by token: write it like ci:acme/app, the issuer's name first; "
                "a * may only stand for the whole last segment"
            )
    elif _DNS(name) is None:
        raise ValueError(
            f"{name!r} is neither a SPIFFE ID nor a DNS name in lower case (nor a name by token, ISSUER:name); a * may "
            "only stand for the whole first label, as in *.svc.example"
        )
