"""The configuration of the stage: its hosts, routes and providers."""

from __future__ import annotations

from typing import Any

from proxy.settings import schema

LOGIN = "https://login.apps.test:8443"
WIKI = "https://wiki.apps.test:8443"
GRAFANA = "https://grafana.apps.test:8443"
TEAM = "https://blue.teams.test:8443"


def route(name: str, source: str, **more: Any) -> schema.Route:
    rule = schema.Rule(name="all", authenticated=True)
    return schema.Route(**({"name": name, "source": source, "to": "http://127.0.0.1:1", "allow": (rule,)} | more))


def settings(ports: dict[str, int], names: tuple[str, ...]) -> schema.Settings:
    """A configuration with these providers."""
    titles = {"corp": "Corporate login", "partner": "Partners", "dead": "Closed office"}
    providers = tuple(
        schema.Provider(
            name=name,
            issuer=f"http://127.0.0.1:{ports[name]}",
            client_id="ostiary",
            title=titles[name],
            domains=(f"{name}.example",),
        )
        for name in names
    )
    return schema.Settings(
        configuration=schema.Configuration(
            listeners=(schema.Listener(address="127.0.0.1:8443"),),
            login=schema.Login(url=LOGIN, providers=providers),
            assertion=schema.Assertion(key="unused"),
        ),
        routes=(
            route("wiki", WIKI, title="Wiki", description="How we work <b>and</b> why"),
            route("grafana", f"{GRAFANA}/dash", provider="partner" if "partner" in names else None),
            route("teams", "https://*.teams.test:8443"),
        ),
        revision="r1",
        files=(),
    )
