"""`methods`: exact; HEAD is not implied by GET."""

from __future__ import annotations

import re

from proxy.model.facts import Facts
from proxy.policy.asker import Asker
from proxy.policy.conditions.base import RequestCondition, texts, told
from proxy.policy.logic import TRUE, Value, truth

_TOKEN = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+").fullmatch  # RFC 9110 section 5.6.2, without lower case


class Methods(RequestCondition):
    """The method is one of these."""

    name = "methods"

    def __init__(self, methods: object) -> None:
        self._listed = texts(methods)
        for method in self._listed:
            if _TOKEN(method) is None:
                raise ValueError(f"{method!r} is not a method: methods are written in capitals, like GET")
        self.methods = frozenset(self._listed)

    def of_request(self, facts: Facts) -> Value:
        """The value for these facts."""
        return truth(facts.method in self.methods)

    def explain(self, facts: Facts, asker: Asker, value: Value) -> str:
        """A sentence for the one who asks."""
        no = "" if value == TRUE else "not "
        return f"The method {facts.method} is {no}among {told(asker, self._listed, 'methods')}."
