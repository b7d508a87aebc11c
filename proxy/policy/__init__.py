"""Policy: rules in, a verdict out. Default deny; deny wins; AND inside a rule, OR inside a list; unknown is never yes.

Owns the meaning of every condition, the order in which a verdict is reached and the sentences that explain it.
Must not know: settings (a rule is anything shaped like `rule.RuleSpec`), HTTP, sessions, clocks, I/O (time zones are
read once, when a policy is compiled).

Way through: `compile_policy` turns rules into a `Policy`; `decide` asks it about complete `Facts`. What depends only on
who is asking is worked out once per identity (`specialise`), so a request costs the same with 3 rules and with 1,000.
What depends on the device is asked per request, because its values age; conditions of baselines are part of each rule.
To add a condition: a field in `rule.ConditionSpec`, a class in `conditions/`, a row in `conditions/__init__.py`.
"""

from __future__ import annotations

from proxy.policy.compile import Policy, compile_policy
from proxy.policy.decide import decide, opens
from proxy.policy.rule import PolicyError
from proxy.policy.wanted import Wanted

__all__ = ["Policy", "PolicyError", "Wanted", "compile_policy", "decide", "opens"]
