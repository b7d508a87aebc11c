"""Checks of one route: where it is, where it leads, and what makes no sense together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from proxy.routing import parse_source
from proxy.settings import forms
from proxy.settings.checks.finding import Finding, Findings, form
from proxy.settings.checks.rules import check_rule, known_provider
from proxy.settings.document import Path
from proxy.settings.schema import HeaderEdits, Redirect, Route, UpstreamTls, WeightedUpstream

_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")

RESERVED = ("/.ostiary", "/.well-known/ostiary")
"""Prefixes that are the proxy's own on every host."""


def check_route(route: Route, *, providers: Collection[str] | None) -> Findings:
    """Everything that can be said about a route alone; `providers` are the configured names, None when not known."""
    yield from _source(route)
    yield from _target(route)
    yield from _access(route, providers)
    yield from _headers(("request_headers",), route.request_headers, of_request=True)
    yield from _headers(("response_headers",), route.response_headers, of_request=False)
    yield from _options(route)
    if route.provider is not None and providers is not None:
        yield from known_provider(("provider",), route.provider, providers)


def read_source(route: Route) -> forms.Origin | None:
    """Where the route is, or None when `from` is malformed (which `check_route` reports)."""
    try:
        return forms.origin(route.source, wildcard=True)
    except forms.Malformed:
        return None


def _source(route: Route) -> Findings:
    yield from form(("from",), lambda text: forms.origin(text, wildcard=True), route.source)
    source = read_source(route)
    if source is None:
        return
    try:
        parse_source(route.source)  # what the routing table will do: no origin may pass here and fail there
    except ValueError as why:
        yield Finding(("from",), str(why))
    if any(source.prefix == own or source.prefix.startswith(own + "/") for own in RESERVED):
        yield Finding(("from",), f'paths under "{source.prefix}" are the proxy\'s own', "choose another prefix")
    if route.strip_prefix and not source.prefix:
        yield Finding(("strip_prefix",), '"strip_prefix" has nothing to strip', 'give "from" a path prefix', key=True)


def upstreams(route: Route) -> list[tuple[Path, str]]:
    """Every upstream URL with its place."""
    if route.to is None:
        return []
    if isinstance(route.to, str):
        return [(("to",), route.to)]
    found: list[tuple[Path, str]] = []
    for index, item in enumerate(route.to):
        if isinstance(item, WeightedUpstream):
            found.append((("to", index, "url"), item.url))
        else:
            found.append((("to", index), item))
    return found


def _target(route: Route) -> Findings:
    if route.to is None and route.redirect is None:
        yield Finding(("name",), f'route "{route.name}" leads nowhere', 'add "to" (an upstream) or "redirect"')
    if route.to is not None and route.redirect is not None:
        yield Finding(("redirect",), '"redirect" contradicts "to"', "keep one of them", key=True)
    if route.redirect is not None:
        yield from _redirect(route.redirect, route.source)
    listed = upstreams(route)
    seen = set()
    for at, url in listed:
        yield from form(at, forms.upstream, url, name='"to"')
        if url in seen:
            yield Finding(at, f"{url} is listed twice", "give it a weight instead", "warning")
        seen.add(url)
    yield from _upstream_tls(route, [url for _, url in listed])


def _upstream_tls(route: Route, urls: list[str]) -> Findings:
    tls = route.upstream_tls
    at: Path = ("upstream_tls",)
    if (tls.cert is None) != (tls.key is None):
        missing = "key" if tls.key is None else "cert"
        yield Finding(at, f'"upstream_tls" needs "{missing}" too', "a client certificate has two files", key=True)
    used = any((tls.ca, tls.cert, tls.key, tls.server_name, tls.spiffe_id))
    if used and urls and not any(url.startswith("https:") for url in urls):
        yield Finding(at, '"upstream_tls" has no effect: no upstream is https', "write to: https://…", key=True)
    if tls.server_name is not None:
        yield from form((*at, "server_name"), forms.host_name, tls.server_name)
    if tls.spiffe_id is not None:
        yield from _spiffe_id((*at, "spiffe_id"), tls)


def _spiffe_id(at: Path, tls: UpstreamTls) -> Findings:
    if not _SPIFFE_ID.fullmatch(tls.spiffe_id or "") or not {".", ".."}.isdisjoint((tls.spiffe_id or "").split("/")):
        yield Finding(at, f'"{tls.spiffe_id}" is not the SPIFFE ID of a workload', "write spiffe://domain/path")
    for name in ("ca", "server_name"):
        if getattr(tls, name) is not None:
            hint = f'remove "{name}": the certificate must have this SPIFFE ID, by the bundle of its trust domain'
            yield Finding(at, f'"spiffe_id" contradicts "{name}"', hint, key=True)


def _redirect(redirect: Redirect, source: str) -> Findings:
    at: Path = ("redirect", "url")
    bare = redirect.url.replace("{path}", "")
    if "{" in bare or "}" in bare:
        yield Finding(at, f'"{redirect.url}": the only placeholder is {{path}}', "it stands for the path and query")
        return
    if redirect.url.startswith("/{path}"):
        yield Finding(
            at, f'"{redirect.url}" would lead to any host: {{path}} has a slash of its own', "write /new{path}"
        )
        return
    if redirect.url.startswith("/") and not redirect.url.startswith(("//", "/\\")):
        return
    try:
        to = forms.origin("/".join(bare.split("/")[:3]))
    except forms.Malformed as why:
        yield Finding(at, f'"url": {why}', why.hint or "write https://host{path}")
        return
    authority = redirect.url.partition("://")[2].partition("/")[0]
    if "{path}" in authority and not authority.endswith("{path}"):
        yield Finding(at, f'"{redirect.url}": {{path}} belongs after the host', "write https://host{path}")
    if bare.rstrip("/") == source.rstrip("/") and to is not None:
        yield Finding(at, "this redirects to itself", "is the host right?")


# --- who ---------------------------------------------------------------------------------------------------------


def _access(route: Route, providers: Collection[str] | None) -> Findings:
    if route.public and route.allow:
        yield Finding(
            ("allow",),
            '"public: true" lets everybody in, which contradicts "allow"',
            "remove one of them; deny rules still apply to public routes",
            key=True,
        )
    names: dict[str, Path] = {}
    for list_name, rules in (("allow", route.allow), ("deny", route.deny)):
        for index, rule in enumerate(rules):
            at: Path = (list_name, index)
            if rule.name in names:
                yield Finding(
                    (*at, "name"),
                    f'rule "{rule.name}" is given twice in route "{route.name}"',
                    "the record names rules: each needs a name of its own",
                )
            names[rule.name] = at
            for finding in check_rule(rule, list_name=list_name, providers=providers):
                yield finding._replace(path=(*at, *finding.path))


# --- headers and options -----------------------------------------------------------------------------------------


def _headers(at: Path, edits: HeaderEdits, *, of_request: bool) -> Findings:
    if not edits.set and not edits.remove:
        return
    reader = forms.request_header if of_request else forms.response_header
    seen: set[str] = set()
    for name, value in edits.set.items():
        for finding in form((*at, "set", name), reader, name):
            yield finding._replace(key=True, message=finding.message.removeprefix(f'"{name}": '))
        yield from form((*at, "set", name), forms.header_value, value)
        if name.lower() in seen:
            yield Finding((*at, "set", name), f'header "{name}" is set twice', "case makes no difference", key=True)
        seen.add(name.lower())
    for index, name in enumerate(edits.remove):
        for finding in form((*at, "remove", index), reader, name):
            yield finding._replace(message=finding.message.removeprefix('"remove": '))
        if name.lower() in seen:
            yield Finding((*at, "remove", index), f'header "{name}" is both set and removed', "set replaces it anyway")


def _options(route: Route) -> Findings:
    yield from _host(route.host)
    for index, foreign in enumerate(route.websocket_origins):
        if foreign != "*":
            yield from form(("websocket_origins", index), forms.bare_origin, foreign)
    for index, protocol in enumerate(route.upgrades):
        if not re.fullmatch(r"[a-z0-9./_-]{1,32}", protocol) or protocol in {"h2c", "h2", "tls", "http"}:
            yield Finding(
                ("upgrades", index), f'"{protocol}" cannot be upgraded to', "such as websocket, in lower case"
            )
    for name in ("connect", "response", "idle", "total"):
        value = getattr(route.timeouts, name)
        if value is not None and value <= 0:
            yield Finding(("timeouts", name), f'"{name}" must be longer than nothing', "remove the key for the default")
    if route.refusal is not None:
        if not route.refusal.text.strip():
            yield Finding(("refusal", "text"), '"text" is empty', "say what the person can do")
        if route.refusal.link is not None:
            yield from form(("refusal", "link"), forms.web_link, route.refusal.link)


def _host(host: str) -> Findings:
    if host in {"preserve", "rewrite"}:
        return
    near = difflib.get_close_matches(host.lower(), ("preserve", "rewrite"), n=1, cutoff=0.7)
    if near:
        yield Finding(("host",), f'"{host}" is neither "preserve" nor "rewrite"', f'did you mean "{near[0]}"?')
        return
    name, colon, port = host.rpartition(":")
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        yield Finding(
            ("host",), f'"{host}" is not a host', "write preserve, rewrite, or a name such as app.internal:8080"
        )
        return
    yield from form(("host",), forms.host_name, name if colon else host)
