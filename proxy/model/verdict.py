"""What a decision is: a value with its reason, the rule that made it, and what would have had to be true."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from proxy.model.reasons import Reason


class Outcome(StrEnum):
    """The three things that can be done with a request."""

    ALLOW = "allow"
    CHALLENGE = "challenge"  # log in, again or more strongly; show, enrol or mend a device
    DENY = "deny"


class Failed(msgspec.Struct, frozen=True):
    """One condition that did not hold: which rule, which condition, and a sentence that explains it to a person.

    `unknown` is True when the fact was missing rather than wrong. `remedy` is a sentence on how to mend it, "" when
    there is nothing to say that the reason does not say already.
    """

    rule: str
    condition: str
    explanation: str
    unknown: bool = False
    remedy: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `policy.decide`.

    `rule` is the rule that allowed or denied; for a default deny or a challenge it is the rule that came nearest.
    `failed` lists the conditions that did not hold in the nearest rule (empty for ALLOW).
    """

    outcome: Outcome
    reason: Reason
    rule: str = ""
    failed: tuple[Failed, ...] = ()
