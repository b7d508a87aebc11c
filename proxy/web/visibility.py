"""Which apps a person may open: the gateway's own question, asked for each route's front page."""

from __future__ import annotations

from collections.abc import Callable

from proxy.model.facts import Facts
from proxy.model.identity import Identity
from proxy.policy import Policy, compile_policy, opens
from proxy.routing import Source, parse_source
from proxy.settings.baselines import baselines_for
from proxy.settings.schema import Route, Settings


class Visibility:
    """`WebContext.visible`: decides each route's front page as the gateway would, for a GET from `address`.

    A route that would ask for a fresh or stronger login, or for a device in order, is listed; a hidden one, and a
    wildcard (which is no address), is not.
    """

    def __init__(self, settings: Callable[[], Settings], clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._compiled: tuple[Settings, list[tuple[Route, Source, Policy]]] | None = None

    def __call__(self, identity: Identity, address: str | None) -> list[Route]:
        """The routes, in the order of the configuration."""
        now = self._clock()
        return [
            route
            for route, source, policy in self._routes()
            if opens(policy, identity, _template(route, source, address, now))
        ]

    def _routes(self) -> list[tuple[Route, Source, Policy]]:
        settings = self._settings()
        if self._compiled is None or self._compiled[0] is not settings:
            listed = [(route, parse_source(route.source)) for route in settings.routes if not route.hidden]
            self._compiled = (
                settings,
                [
                    (route, source, _policy(route, settings))
                    for route, source in listed
                    if not source.host.startswith("*.")
                ],
            )
        return self._compiled[1]


def _policy(route: Route, settings: Settings) -> Policy:
    baselines = baselines_for(route.labels, settings.configuration.baselines)
    return compile_policy(allow=route.allow, deny=route.deny, public=route.public, baselines=baselines)


def _template(route: Route, source: Source, address: str | None, now: float) -> Facts:
    return Facts(
        route=route.name,
        host=source.host,
        method="GET",
        path=source.prefix or "/",
        time=now,
        address=address,
    )
