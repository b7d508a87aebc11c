"""What a login link asks for, whether somebody is known well enough for it, and what a provider is asked because of it.

A link is anybody's to write: it can ask for more than is needed, never for less. What a page needs is decided by the
gateway, again, when the person comes back to it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlencode

from proxy.authn.claims import display_name
from proxy.model.identity import Identity
from proxy.settings.schema import AnyProvider
from proxy.web.attempts import MAX_RESTARTS, State
from proxy.web.endpoints import LOGIN, SECOND_FACTOR
from proxy.web.handover import well_formed_bind
from proxy.web.returns import Place
from proxy.web.visit import Visit

_PROMPTS: Final = frozenset(("login", "select_account"))
_MAX_AGE: Final = re.compile(r"[0-9]{1,8}")
_ACR: Final = re.compile(r"[!-~]{1,200}")
_MAX_ACR: Final = 8  # values
_SHOWN: Final = 80  # characters of a value that a provider chose


class Wish(NamedTuple):
    """What a login link asks for. `max_age` in seconds; `acr`: any of these authentication contexts will do."""

    back: Place
    bind: str = ""
    provider: str = ""
    email: str = ""
    max_age: int | None = None
    prompt: str = ""
    restarts: int = 0
    mfa: bool = False
    acr: tuple[str, ...] = ()

    @property
    def is_special(self) -> bool:
        """Whether it asks for more than that somebody is logged in."""
        return bool(self.prompt or self.mfa or self.acr or self.max_age is not None)

    def values(self, **changes: str) -> dict[str, str]:
        """The parameters of the link, with changes; defaults are left out."""
        values = {
            "return": self.back.url,
            "bind": self.bind,
            "provider": self.provider,
            "max_age": "" if self.max_age is None else str(self.max_age),
            "prompt": self.prompt,
            "again": str(self.restarts or ""),
            "mfa": "1" if self.mfa else "",
            "acr": " ".join(self.acr),
        } | changes
        return {name: value for name, value in values.items() if value}

    def query(self, **changes: str) -> str:
        """The link again, with changes; defaults are left out."""
        return f"{LOGIN}?{urlencode(self.values(**changes))}"

    def second_factor(self, **more: str) -> str:
        """The path and query at which our own second factor is asked for instead."""
        return self.link(SECOND_FACTOR, **more)

    def link(self, path: str, **more: str) -> str:
        """Another page of ours that leads back to the same place."""
        return f"{path}?{urlencode(self.values(provider='', prompt='', again='') | more)}"


def read_wish(visit: Visit) -> Wish:
    """The wish in a request's query. What is not well formed is not asked for."""
    bind, max_age, prompt, again = (visit.asked(name) for name in ("bind", "max_age", "prompt", "again"))
    return Wish(
        back=visit.back(),
        bind=bind if well_formed_bind(bind) else "",
        provider=visit.asked("provider")[:32],
        email=visit.asked("email").strip()[:254],
        max_age=int(max_age) if _MAX_AGE.fullmatch(max_age) else None,
        prompt=prompt if prompt in _PROMPTS else "",
        restarts=min(int(again), MAX_RESTARTS + 1) if again.isascii() and again.isdigit() and len(again) < 4 else 0,
        mfa=visit.asked("mfa") == "1",
        acr=_contexts(visit.asked("acr")),
    )


def wish_of(visit: Visit, state: State) -> Wish:
    """The wish that an attempt began with."""
    return Wish(
        back=visit.place(state.back),
        bind=state.bind,
        provider=state.provider,
        max_age=state.max_age,
        prompt=state.prompt,
        restarts=state.restarts,
        mfa=state.mfa,
        acr=state.acr,
    )


def _contexts(text: str) -> tuple[str, ...]:
    values = dict.fromkeys(value for value in text.split(" ") if _ACR.fullmatch(value))
    return tuple(values)[:_MAX_ACR]


def is_enough(wish: Wish, identity: Identity, now: float) -> bool:
    """Whether somebody who is logged in is known as well as the link asks for. `provider` only says where to log in if
    one must: routes that name different providers would otherwise end each other's sessions."""
    return not wish.prompt and is_fresh(wish, identity, now) and not lacking(wish, identity)


def is_fresh(wish: Wish, identity: Identity, now: float) -> bool:
    """Whether the login, or our own second factor since, is as young as the link asks for."""
    if wish.max_age is None:
        return True
    times = [at for at in (identity.auth_time, identity.second_factor_at) if at is not None]
    return bool(times) and now - max(times) <= wish.max_age


def has_factors(identity: Identity) -> bool:
    """Several factors: by our own second factor in this session, or by the provider's word."""
    return bool(identity.second_factor) or identity.mfa is True


def lacking(wish: Wish, identity: Identity) -> tuple[str, ...]:
    """What of `mfa` and `acr` the link asks for and this person has not shown."""
    missing = []
    if wish.mfa and not has_factors(identity):
        missing.append("several factors")
    if wish.acr and identity.acr not in wish.acr:
        missing.append(f"a login of the kind {' or '.join(wish.acr)}")
    return tuple(missing)


def shown(identity: Identity) -> str:
    """How strongly somebody logged in, as the provider put it, for people."""
    acr = display_name(identity.acr)[:_SHOWN] or "not told"
    amr = display_name(", ".join(identity.amr))[:_SHOWN] or "not told"
    return f"kind of login: {acr}; methods: {amr}"


class Asked(NamedTuple):
    """How a provider is asked: OIDC `acr_values` or SAML AuthnContextClassRefs, the best first, and `prompt` or
    ForceAuthn ("" is neither)."""

    acr: tuple[str, ...]
    prompt: str


def asked_of(provider: AnyProvider, wish: Wish | State) -> Asked:
    """What to ask this provider for. One that cannot be asked for several factors by a name is asked to log in anew:
    there the person can choose a stronger way, which a login it remembers would never offer."""
    if wish.acr:
        return Asked(wish.acr, wish.prompt)
    if not wish.mfa or provider.step_up == "own":
        return Asked((), wish.prompt)
    acr = provider.mfa.ask or provider.mfa.acr
    return Asked(acr, wish.prompt or ("" if acr else "login"))
