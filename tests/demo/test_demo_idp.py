"""The development identity provider, asked as a client, a browser and an attacker would."""

import re
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import pytest
import yaml
from aiohttp import web

from proxy.demo.idp.ledger import challenge_of
from proxy.demo.idp.people import people
from proxy.demo.idp.provider import Provider
from proxy.demo.idp.server import make_application
from proxy.demo.programs import Registration

CASES = yaml.safe_load(Path(__file__).with_name("authorize_cases.yaml").read_text())
BACK = "https://rp.localhost/cb"
AFTER = "https://rp.localhost/out"
SECRET = "s3cret/+ ü"
VERIFIER = "v" * 43
ASK = {
    "client_id": "ostiary",
    "redirect_uri": BACK,
    "response_type": "code",
    "scope": "openid email profile groups",
    "state": "st&te",
    "nonce": "n-1",
    "code_challenge": challenge_of(VERIFIER),
    "code_challenge_method": "S256",
}


class World:
    """A provider, one browser, and what the client was told."""

    def __init__(self, issuer: str, http: aiohttp.ClientSession):
        self.issuer = issuer
        self.http = http
        self.now = 1_800_000_000.0
        self.told: list[tuple[str, str]] = []
        client = Registration(
            client_id="ostiary",
            client_secret=SECRET,
            redirect_uris=(BACK,),
            post_logout_redirect_uris=(AFTER,),
            backchannel_logout_uri="https://rp.localhost/bc",
        )
        self.provider = Provider(issuer, client, people(), clock=lambda: self.now, notify=self._notify)

    async def _notify(self, uri: str, token: str) -> int:
        self.told.append((uri, token))
        return 200

    async def authorize(self, **change):
        values = [
            (name, one)
            for name, value in (ASK | change).items()
            if value is not None
            for one in (value if isinstance(value, list) else [value])
        ]
        async with self.http.get(f"{self.issuer}/authorize", params=values, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", ""), await response.text()

    async def choose(self, page: str, person: str = "alice", **fields):
        form = {"interaction": interaction(page), "person": person, "factors": "one", "answer": "login"} | fields
        headers = {"Origin": self.issuer}
        url = f"{self.issuer}/login"
        async with self.http.post(url, data=form, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", ""), await response.text()

    async def code(self, person: str = "alice", **change) -> str:
        status, _, page = await self.authorize(**change)
        assert status == 200, page
        status, location, _ = await self.choose(page, person)
        assert status == 303
        return query(location)["code"]

    async def token(self, auth=True, **form):
        basic = aiohttp.encode_basic_auth("ostiary", "s3cret%2F%2B+%C3%BC") if auth else None
        headers = {"Authorization": basic} if basic else {}
        async with self.http.post(f"{self.issuer}/token", data=form, headers=headers) as response:
            assert response.headers["Cache-Control"] == "no-store"
            return response.status, await response.json()

    async def redeem(self, good: str, **change):
        form = {"grant_type": "authorization_code", "code": good, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return await self.token(**(form | change))

    async def refresh(self, token: str):
        return await self.token(grant_type="refresh_token", refresh_token=token)

    async def claims(self, id_token: str) -> dict:
        async with self.http.get(f"{self.issuer}/jwks") as response:
            keys = jwt.PyJWKSet.from_dict(await response.json())
        key = keys[jwt.get_unverified_header(id_token)["kid"]]
        return jwt.decode(
            id_token,
            key,
            algorithms=["RS256"],
            audience="ostiary",
            issuer=self.issuer,
            options={"verify_exp": False, "verify_iat": False},
        )


def interaction(page: str) -> str:
    return re.search(r'name="interaction" value="([^"]+)"', page)[1]


def query(location: str) -> dict[str, str]:
    assert location.startswith(BACK + "?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture
async def world():
    listening = socket.create_server(("127.0.0.1", 0))
    issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        world = World(issuer, http)
        runner = web.AppRunner(make_application(world.provider))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield world
        await runner.cleanup()


async def test_discovery_is_for_this_issuer_and_promises_what_there_is(world):
    async with world.http.get(f"{world.issuer}/.well-known/openid-configuration") as response:
        document = await response.json()
    assert document["issuer"] == world.issuer
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["backchannel_logout_session_supported"] is True


async def test_a_login_from_the_page_to_the_claims(world):
    status, _, page = await world.authorize()
    assert status == 200
    status, location, _ = await world.choose(page, "carol", factors="two")
    back = query(location)
    assert (status, back["state"], back["iss"]) == (303, "st&te", world.issuer)
    status, tokens = await world.redeem(back["code"])
    assert status == 200
    claims = await world.claims(tokens["id_token"])
    assert claims["sub"] == "carol"
    assert claims["nonce"] == "n-1"
    assert claims["groups"] == ["engineering", "sre", "admins"]
    assert (claims["email"], claims["email_verified"]) == ("carol@example.com", True)
    assert (claims["auth_time"], claims["amr"]) == (1_800_000_000, ["pwd", "otp", "mfa"])
    assert claims["acr"] == "urn:ostiary:demo:two-factors"
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with world.http.get(f"{world.issuer}/userinfo", headers=headers) as response:
        assert (await response.json())["sub"] == "carol"


async def test_two_factors_are_asked_for_when_one_was_given(world):
    _, _, page = await world.authorize()
    await world.choose(page, "carol", factors="one")
    two = "urn:ostiary:demo:two-factors"
    assert (await world.authorize(acr_values="urn:ostiary:demo:one-factor"))[0] == 303, "the login that is there does"
    status, _, page = await world.authorize(acr_values=two)
    assert (status, 'value="two" checked' in page) == (200, True)
    await world.choose(page, "carol", factors="two")
    assert (await world.authorize(acr_values=two))[0] == 303, "and now that one does"


async def test_scope_limits_what_is_told(world):
    _, tokens = await world.redeem(await world.code(scope="openid"))
    claims = await world.claims(tokens["id_token"])
    assert not claims.keys() & {"email", "groups", "name"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_a_wrong_request(world, case):
    status, location, text = await world.authorize(**case["change"])
    if case["told"] == "person":
        assert (status, location) == (400, "")
        assert "evil.example" not in text
    else:
        assert status == 303
        assert query(location)["error"] == case["error"]
        assert "code" not in query(location)


class TestTheLoginPage:
    async def test_is_good_once(self, world):
        _, _, page = await world.authorize()
        assert (await world.choose(page))[0] == 303
        assert (await world.choose(page))[0] == 400

    async def test_is_good_for_ten_minutes(self, world):
        _, _, page = await world.authorize()
        world.now += 601
        assert (await world.choose(page))[0] == 400

    async def test_is_good_at_the_browser_it_was_shown_to(self, world):
        _, _, page = await world.authorize()
        world.http.cookie_jar.clear()
        assert (await world.choose(page))[0] == 400

    async def test_cannot_be_sent_from_a_foreign_page(self, world):
        _, _, page = await world.authorize()
        form = {"interaction": interaction(page), "person": "alice"}
        headers = {"Origin": "https://evil.example"}
        async with world.http.post(f"{world.issuer}/login", data=form, headers=headers) as response:
            assert response.status == 403

    async def test_cancelling_is_told_to_the_client(self, world):
        _, _, page = await world.authorize()
        _, location, _ = await world.choose(page, answer="cancel")
        assert query(location)["error"] == "access_denied"

    async def test_nobody_else_can_be_chosen(self, world):
        _, _, page = await world.authorize()
        assert (await world.choose(page, "root"))[0] == 400

    async def test_a_hint_chooses(self, world):
        _, _, page = await world.authorize(login_hint="bob@example.com")
        assert re.search(r'value="bob" required checked', page)

    async def test_reaches_nobody_under_another_name(self, world):
        async with world.http.get(f"{world.issuer}/authorize", headers={"Host": "evil.example"}) as response:
            assert response.status == 421


class TestWhenToAsk:
    async def test_not_again_while_logged_in(self, world):
        await world.code()
        status, location, _ = await world.authorize(prompt="none")
        assert status == 303
        assert "code" in query(location)

    @pytest.mark.parametrize("prompt", ["login", "select_account"])
    async def test_again_when_told_to(self, world, prompt):
        await world.code()
        assert (await world.authorize(prompt=prompt))[0] == 200

    async def test_again_when_it_was_too_long_ago_and_the_new_time_counts(self, world):
        first = await world.redeem(await world.code())
        world.now += 100
        assert (await world.authorize(max_age="100"))[0] == 303
        world.now += 1
        _, location, _ = await world.authorize(max_age="100", prompt="none")
        assert query(location)["error"] == "login_required"
        second = await world.redeem(await world.code(max_age="100"))
        assert (await world.claims(second[1]["id_token"]))["auth_time"] == 1_800_000_101
        # The first grant stays what it was: its refreshed ID token tells of its own authentication.
        _, tokens = await world.refresh(first[1]["refresh_token"])
        assert (await world.claims(tokens["id_token"]))["auth_time"] == 1_800_000_000

    async def test_another_person_ends_the_first_ones_login(self, world):
        _, tokens = await world.redeem(await world.code("alice"))
        await world.redeem(await world.code("bob", prompt="select_account"))
        assert [jwt.decode(token, options={"verify_signature": False})["sub"] for _, token in world.told] == ["alice"]
        assert (await world.refresh(tokens["refresh_token"]))[1]["error"] == "invalid_grant"


class TestCodes:
    async def test_a_second_use_ends_what_the_first_led_to(self, world):
        code = await world.code()
        _, tokens = await world.redeem(code)
        status, answer = await world.redeem(code)
        assert (status, answer["error"]) == (400, "invalid_grant")
        assert (await world.refresh(tokens["refresh_token"]))[0] == 400
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        async with world.http.get(f"{world.issuer}/userinfo", headers=headers) as response:
            assert response.status == 401

    @pytest.mark.parametrize(
        "change", [{"code_verifier": "w" * 43}, {"code_verifier": ""}, {"redirect_uri": BACK + "/"}, {"code": "x"}]
    )
    async def test_a_wrong_exchange_is_refused_and_spends_the_code(self, world, change):
        code = await world.code()
        assert (await world.redeem(code, **change))[0] == 400
        if "code" not in change:
            assert (await world.redeem(code))[0] == 400

    async def test_a_minute_is_all_there_is(self, world):
        code = await world.code()
        world.now += 61
        assert (await world.redeem(code))[0] == 400


class TestRefresh:
    async def test_rotates_and_tells_no_nonce(self, world):
        _, first = await world.redeem(await world.code())
        world.now += 300
        status, second = await world.refresh(first["refresh_token"])
        assert status == 200
        assert second["refresh_token"] != first["refresh_token"]
        before, after = await world.claims(first["id_token"]), await world.claims(second["id_token"])
        assert "nonce" not in after
        assert (after["sub"], after["sid"], after["auth_time"]) == (before["sub"], before["sid"], before["auth_time"])
        assert after["iat"] == before["iat"] + 300

    async def test_reuse_ends_the_family(self, world):
        _, first = await world.redeem(await world.code())
        _, second = await world.refresh(first["refresh_token"])
        assert (await world.refresh(first["refresh_token"]))[1]["error"] == "invalid_grant"
        assert (await world.refresh(second["refresh_token"]))[1]["error"] == "invalid_grant"


class TestTheClient:
    async def test_with_a_wrong_secret_learns_nothing(self, world):
        code = await world.code()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        for wrong in ({}, {"client_id": "ostiary"}, {"client_id": "ostiary", "client_secret": "no"}):
            status, answer = await world.token(auth=False, **form, **wrong)
            assert (status, answer["error"]) == (401, "invalid_client")
        status, _ = await world.token(auth=False, **form, client_id="ostiary", client_secret=SECRET)
        assert status == 200

    async def test_other_grants_are_not_offered(self, world):
        assert (await world.token(grant_type="password"))[1]["error"] == "unsupported_grant_type"

    async def test_a_secret_is_in_no_repr(self, world):
        assert SECRET not in repr(world.provider.client)


class TestLogout:
    async def get(self, world, **values):
        async with world.http.get(f"{world.issuer}/logout", params=values, allow_redirects=False) as response:
            return response.status, response.headers.get("Location"), await response.text()

    async def test_started_by_the_client(self, world):
        _, tokens = await world.redeem(await world.code())
        world.now += 3600
        hint = tokens["id_token"]
        answer = await self.get(world, id_token_hint=hint, post_logout_redirect_uri=AFTER, state="a b")
        assert answer[:2] == (303, AFTER + "?state=a+b")
        [(uri, token)] = world.told
        assert uri == "https://rp.localhost/bc"
        assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
        claims = await world.claims(token)
        assert claims["sid"] == (await world.claims(hint))["sid"]
        assert list(claims["events"]) == ["http://schemas.openid.net/event/backchannel-logout"]
        assert "nonce" not in claims
        assert (await world.refresh(tokens["refresh_token"]))[0] == 400
        assert (await world.authorize())[0] == 200

    async def test_asks_first_without_proof(self, world):
        await world.code()
        status, _, text = await self.get(world, post_logout_redirect_uri=AFTER)
        assert status == 200
        assert "Log out?" in text
        assert world.told == []

    @pytest.mark.parametrize("target", ["https://evil.example/", AFTER + "/", ""])
    async def test_sends_nobody_to_an_unregistered_address(self, world, target):
        _, tokens = await world.redeem(await world.code())
        status, location, _ = await self.get(world, id_token_hint=tokens["id_token"], post_logout_redirect_uri=target)
        assert (status, location) == (200, None)

    async def test_a_client_that_does_not_answer_changes_nothing(self, world):
        async def broken(uri: str, token: str) -> int:
            raise OSError("no route")

        world.provider._notify = broken
        _, tokens = await world.redeem(await world.code())
        assert (await self.get(world, id_token_hint=tokens["id_token"], post_logout_redirect_uri=AFTER))[0] == 303


@pytest.mark.parametrize("module", ["proxy.demo.idp", "proxy.demo.apps", "proxy.demo.ci", "proxy.demo.saml_idp"])
@pytest.mark.parametrize("environment", [{}, {"OSTIARY_DEMO_TOKEN": "guessed"}])
def test_nothing_of_the_demo_starts_by_itself(module, environment):
    line = b'{"token": "other", "settings": {"host": "127.0.0.1", "port": 1}}\n'
    words = [sys.executable, "-m", module]
    done = subprocess.run(words, input=line, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert b"ostiary demo" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_nothing_of_the_demo_listens_for_others(host):
    from proxy.demo.launch import Refused, loopback

    with pytest.raises(Refused, match="loopback"):
        loopback(host)
