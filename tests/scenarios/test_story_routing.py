"""What a route makes of a request: prefixes, hosts, headers, redirects, public parts, wildcards."""

from __future__ import annotations

import pytest
from scenario_world import App, Inside, running


async def test_the_longest_prefix_wins_and_may_be_stripped(world: Inside, app: App):
    world.route("site", app.url)
    world.route("docs", app.url, at="site", prefix="/docs", strip_prefix=True)
    world.route("deep", app.url, at="site", prefix="/docs/deep")
    async with running(world):
        cookie = (await world.login("ann", "site"))["site"]
        for target, route, seen in (
            ("/docs/a?b=c", "docs", "/a?b=c"),
            ("/docs", "docs", "/"),
            ("/docs?x", "docs", "/?x"),
            ("/docs/deep/er", "deep", "/docs/deep/er"),
            ("/docsy", "site", "/docsy"),
            ("/docs/../x", None, None),
            ("/%64ocs/a%20b", "docs", "/a%20b"),
        ):
            count = len(app.seen)
            answer = await world.ask("site", target, cookie=cookie)
            if route is None:
                assert answer.status in (200, 400), target  # one form is decided on and forwarded, or none
                assert all(".." not in one.target for one in app.seen)
                continue
            assert answer.json["target"] == seen, target
            assert len(app.seen) == count + 1
            await world.recorded(reference=app.last().header("x-request-id"), route=route)


async def test_host_is_preserved_rewritten_or_named(world: Inside, app: App):
    world.route("kept", app.url)
    world.route("own", app.url, host="rewrite")
    world.route("named", app.url, host="app.internal")
    async with running(world):
        cookies = await world.login("ann", "kept", "own", "named")
        for name, host in (
            ("kept", world.host("kept")),
            ("own", app.url.removeprefix("http://")),
            ("named", "app.internal"),
        ):
            await world.ask(name, cookie=cookies[name])
            assert app.last().header("host") == host
            assert app.last().header("x-forwarded-host") == world.host(name)
            assert app.last().header("x-forwarded-proto") == "https"


async def test_headers_are_set_and_removed_both_ways(world: Inside, app: App):
    world.route(
        "app",
        app.url,
        request_headers={"set": {"X-Env": "prod", "Accept-Language": "de"}, "remove": ["X-Debug"]},
        response_headers={"set": {"X-Frame-Options": "DENY"}, "remove": ["Server"]},
    )
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        sent = [("X-Debug", "1"), ("accept-language", "en"), ("X-Env", "dev"), ("X-Other", "kept")]
        answer = await world.ask("app", headers=sent, cookie=cookie)
        seen = app.last()
        assert (seen.header("x-env"), seen.header("accept-language")) == ("prod", "de")
        assert (seen.header("x-debug"), seen.header("x-other")) == (None, "kept")
        assert (answer.header("server"), answer.header("x-frame-options")) == (None, "DENY")
        assert answer.header("x-kept") == "yes"


async def test_what_the_client_says_in_our_name_never_arrives(world: Inside, app: App):
    world.route("app", app.url)
    lies = [
        ("X-Ostiary-User", "root"),
        ("x_ostiary_email", "root@example.com"),
        ("X-Ostiary.Groups", "admins"),
        ("X-Ostiary-Assertion", "ey.ey.ey"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("X-Forwarded-Client-Cert", "Subject=root"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("Connection", "X-Ostiary-Email, X-Ostiary-Assertion, close"),
    ]
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        await world.ask("app", headers=lies, cookie=cookie + "; theme=dark")
        seen = app.last()
        assert seen.header("x-ostiary-email") == "ann@example.com"
        assert seen.header("x-forwarded-for") == "127.0.0.1"
        assert seen.header("cookie") == "theme=dark"
        said = str(seen.headers).lower()
        for lie in ("root", "10.0.0.1", "/admin", "admins", "ey.ey.ey"):
            assert lie not in said


async def test_an_app_cannot_set_our_cookie(world: Inside, app: App):
    world.route("app", app.url)
    async with running(world):
        cookie = (await world.login("ann", "app"))["app"]
        answer = await world.ask("app", "/cookie", cookie=cookie)
        assert answer.all("set-cookie") == ["theme=dark; Path=/"]


async def test_a_redirect_route_answers_by_itself(world: Inside, app: App):
    world.route("old", None, redirect={"url": "https://new.example{path}", "status": 301}, public=True)
    world.route("gone", None, redirect={"url": "https://new.example/start"})
    async with running(world):
        answer = await world.ask("old", "/a%20b?c=d")
        assert (answer.status, answer.header("location")) == (301, "https://new.example/a%20b?c=d")
        assert (await world.ask("gone")).status == 401
        cookie = (await world.login("ann", "gone"))["gone"]
        answer = await world.ask("gone", "/x", cookie=cookie)
        assert (answer.status, answer.header("location")) == (308, "https://new.example/start")
        assert (await world.recorded(route="old"))["reason"] == "redirect"


async def test_public_needs_no_login_but_deny_still_wins(world: Inside, app: App):
    deny = [{"name": "no-writing", "methods": ["POST"]}]
    world.route("info", app.url, public=True, deny=deny)
    async with running(world):
        assert (await world.ask("info")).status == 200
        assert app.last().header("x-ostiary-assertion") is None
        answer = await world.ask("info", method="POST", body=b"x")
        assert (answer.status, answer.json["reason"], answer.json["rule"]) == (403, "denied-by-rule", "no-writing")
        cookie = (await world.login("ann", "info"))["info"]
        await world.ask("info", cookie=cookie)
        assert app.last().header("x-ostiary-email") == "ann@example.com"  # who is known is told to public apps, too


async def test_cors_preflights_pass_and_nothing_else_does(world: Inside, app: App):
    world.route("api", app.url, cors_preflight=True)
    world.route("shut", app.url)
    preflight = [("Origin", "https://dash.example"), ("Access-Control-Request-Method", "PUT")]
    async with running(world):
        assert (await world.ask("api", "/x", method="OPTIONS", headers=preflight)).status == 200
        assert (await world.recorded(route="api"))["reason"] == "cors-preflight"
        assert (await world.ask("api", "/x", method="OPTIONS")).status == 401
        assert (await world.ask("api", "/x", method="OPTIONS", headers=preflight, body=b"x")).status == 401
        assert (await world.ask("api", "/x", headers=preflight)).status == 401
        assert (await world.ask("shut", "/x", method="OPTIONS", headers=preflight)).status == 401
        assert len(app.seen) == 1


async def test_wildcard_hosts_match_one_label_and_exact_ones_win(world: Inside, app: App):
    world.route("teams", app.url, at="*.teams.test")
    world.route("red", app.url, at="red.teams.test", public=True)
    async with running(world):
        cookie = (await world.login("ann", "blue.teams.test"))["blue.teams.test"]
        assert (await world.ask("blue.teams.test", cookie=cookie)).status == 200
        assert app.last().header("x-forwarded-host") == world.host("blue.teams.test")
        assert (await world.ask("red.teams.test")).status == 200
        await world.recorded(route="red")
        assert (await world.ask("a.blue.teams.test")).status == 404
        assert (await world.ask("green.teams.test", cookie=cookie)).status == 401  # a cookie is for one host


@pytest.mark.parametrize("host", ["nobody.apps.test", "apps.test", "login.apps.test.evil.example"])
async def test_a_host_we_do_not_serve_is_not_found(world: Inside, app: App, host: str):
    world.route("app", app.url, public=True)
    async with running(world):
        answer = await world.ask(host)
        assert (answer.status, answer.json["reason"]) == (404, "no-route")
        assert not app.seen


async def test_another_port_in_host_is_another_host(world: Inside, app: App):
    world.route("app", app.url, public=True)
    async with running(world), await world.line("app") as line:
        assert (await line.request("GET", "/", "app.apps.test:1")).status == 404
        assert not app.seen
