"""Whether an nftables ruleset keeps anything out: what `nft --json list ruleset` writes (libnftables-json(5))."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


def filters_input(text: str) -> bool:
    """Whether some base chain on the input hook drops by policy, or leads to a rule that drops or rejects.

    Raises ValueError when it is not such a document.
    """
    try:
        entries = msgspec.json.decode(text, type=dict[str, list[dict[str, Any]]])["nftables"]
    except (msgspec.DecodeError, KeyError) as error:
        raise ValueError("this is not a ruleset") from error
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    inputs = [chain for chain in chains if chain.get("hook") == "input" and chain.get("type") == "filter"]
    if any(chain.get("policy") == "drop" for chain in inputs):
        return True
    rules: dict[tuple[str, str, str], list[Any]] = {}
    for rule in (entry["rule"] for entry in entries if "rule" in entry):
        rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule["expr"])
    return any(_drops((chain["family"], chain["table"], chain["name"]), rules) for chain in inputs)


def _drops(start: tuple[str, str, str], rules: dict[tuple[str, str, str], list[Any]]) -> bool:
    """Whether a rule that drops can be reached from the chain `start`."""
    seen = {start}
    waiting = [start]
    while waiting:
        family, table, chain = waiting.pop()
        for verdict, target in _verdicts(rules.get((family, table, chain), [])):
            if verdict in ("drop", "reject"):
                return True
            following = (family, table, target)
            if verdict in ("jump", "goto") and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False


def _verdicts(value: Any) -> Iterator[tuple[str, str]]:
    """Every verdict below `value` (a verdict map holds several), with the chain it leads to."""
    if isinstance(value, list):
        for each in value:
            yield from _verdicts(each)
    elif isinstance(value, dict):
        for name, below in value.items():
            if name in ("drop", "reject", "jump", "goto"):
                yield name, below.get("target", "") if isinstance(below, dict) else ""
            yield from _verdicts(below)
