"""The stage of the tour: who takes part, and how a step says that something is not as it must be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.demo.laptop import Laptop
from proxy.demo.layout import Layout
from proxy.demo.visitor import Answer, Visitor


class Wrong(Exception):
    """A step did not go as it must."""


@dataclass(slots=True)
class Stage:
    """Who takes part."""

    layout: Layout
    alice: Visitor
    bob: Visitor
    carol: Visitor
    stranger: Visitor
    billing: Visitor
    retired: Visitor
    partner: Visitor
    compliant: Laptop
    neglected: Laptop


Step = Callable[[Stage], Awaitable[None]]


def must(condition: object, otherwise: str) -> None:
    """Raises Wrong unless the condition holds."""
    if not condition:
        raise Wrong(otherwise)


def status(answer: Answer, wanted: int, what: str) -> None:
    """Raises Wrong for another status."""
    if answer.status != wanted:
        raise Wrong(f"{what}: expected {wanted}, got {answer.status} from {answer.url}: {answer.text[:300]}")


def reason(answer: Answer, code: int, wanted: str, what: str) -> None:
    """Raises Wrong unless it is a refusal with this status and reason."""
    status(answer, code, what)
    got = answer.json.get("reason") if isinstance(answer.json, dict) else None
    must(got == wanted, f"{what}: expected the reason {wanted}, got {answer.text[:300]}")


async def command(*words: str) -> bytes:
    """Run an `ostiary` command as an admin would. Raises Wrong when it fails."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "proxy", *words, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    if process.returncode != 0:
        raise Wrong(f"`ostiary {' '.join(words)}` answered {process.returncode}: {errors.decode()[:500]}")
    return output
