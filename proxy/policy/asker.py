"""Who is asking: somebody in particular, nobody, or somebody who might yet turn up."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from proxy.model.facts import Facts
from proxy.model.identity import Certificate, Identity


class Kind(Enum):
    """The kinds of asker. The last two are hypothetical: what they could prove is left open."""

    NOBODY = "nobody"
    PERSON = "person"
    SERVICE = "service"
    SOME_PERSON = "some person"
    SOME_SERVICE = "some service"


class Asker(NamedTuple):
    """An asker, as conditions see one. `identity` is None for all but a particular person or service."""

    kind: Kind
    identity: Identity | None = None
    names: tuple[str, ...] = ()  # what a service is called: its subject and the names of its certificate
    fresh: bool = False  # suppose that the person has just logged in again
    strong: bool = False  # suppose that they did so in every way a rule can ask for
    mended: bool = False  # suppose that their device could be another, or in another state


NOBODY = Asker(Kind.NOBODY)
SOME_PERSON = Asker(Kind.SOME_PERSON, fresh=True, mended=True)
SOME_SERVICE = Asker(Kind.SOME_SERVICE, mended=True)


def asker_of(facts: Facts) -> Asker:
    """Who the facts say is asking. A service whose certificate was refused is nobody."""
    identity = facts.identity
    if identity is None:
        return NOBODY
    if identity.kind == "person":
        return Asker(Kind.PERSON, identity)
    if identity.kind == "service" and facts.certificate_problem is None:
        return Asker(Kind.SERVICE, identity, _names(identity, facts.certificate))
    return NOBODY


def _names(identity: Identity, certificate: Certificate | None) -> tuple[str, ...]:
    """A certificate's other names are those of the service it names; beside a token it may be a device's, and then what
    it says is nobody's name."""
    if certificate is None or identity.subject not in certificate.names:
        return (identity.subject,)
    return (identity.subject, *certificate.names)
