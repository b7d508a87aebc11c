"""Where a browser may be sent after login: the table of `return_urls.yaml`, by function and over the wire."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from web_stage import GRAFANA, LOGIN, WIKI, Browser, staged

from proxy.web.returns import Origins, read_host, safe_path

TABLE = yaml.safe_load((Path(__file__).parent / "return_urls.yaml").read_text())
ORIGINS = Origins(LOGIN, [WIKI, f"{GRAFANA}/dash", "https://*.teams.test:8443"])
HERE = read_host("wiki.apps.test:8443")
CASES = [(case["return"], case["lands"]) for case in (*TABLE["ours"], *TABLE["harmless"])]
CASES += [(target, f"{WIKI}/") for target in TABLE["foreign"]]
OURS = {"wiki.apps.test", "grafana.apps.test", "login.apps.test"}


@pytest.mark.parametrize(("target", "lands"), CASES)
def test_table(target: str, lands: str) -> None:
    assert ORIGINS.resolve(target, HERE).url == lands


async def test_table_over_the_wire_from_the_login_link_to_the_last_redirect() -> None:
    async with staged() as stage:
        browser = Browser(stage)
        await browser.open(f"{WIKI}/.ostiary/login")
        for target, lands in CASES:
            end = await browser.open(f"{WIKI}/.ostiary/login?{urlencode({'return': target})}")
            assert end.url == lands, target
            assert not any("evil" in (urlsplit(url).hostname or "") for url in browser.visited), target


@given(st.text(max_size=200))
def test_whatever_is_asked_for_the_answer_is_a_plain_url_on_one_of_our_hosts(target: str) -> None:
    place = ORIGINS.resolve(target, HERE)
    assert place.url.isascii()
    assert place.url.isprintable()
    assert " " not in place.url
    parts = urlsplit(place.url)
    assert parts.scheme == "https"
    assert parts.port == 8443
    assert parts.username is None
    assert parts.hostname == place.host
    assert place.host in OURS or place.host.endswith(".teams.test")
    assert place.path.startswith("/")
    assert not place.path.startswith(("//", "/\\", "/.ostiary/"))
    assert ORIGINS.resolve(place.url, HERE) == place, "judging it again changes nothing"


@given(
    st.sampled_from("/\\@:#?%.\t\r\n evil").flatmap(lambda _: st.text("/\\@:#?%.;\t\r\n evil.tsaph0123", max_size=40))
)
def test_no_spelling_of_an_authority_gets_through(rest: str) -> None:
    for target in (rest, "/" + rest, "https:" + rest, "https://wiki.apps.test:8443" + rest):
        assert ORIGINS.resolve(target, HERE).host in OURS


def test_an_unknown_host_of_our_own_leads_to_the_login_host() -> None:
    assert ORIGINS.resolve("/x", read_host("evil.test")).url == f"{LOGIN}/x"
    assert ORIGINS.resolve("/x", read_host("a@b")).url == f"{LOGIN}/x"


def test_the_port_of_the_host_header_does_not_choose_an_origin_of_its_own() -> None:
    assert ORIGINS.resolve("/x", read_host("wiki.apps.test:666")).url == f"{WIKI}/x"


def test_too_long_is_cut_to_the_front_page() -> None:
    assert safe_path("/" + "a" * 5000) == "/"
    assert len(safe_path("/" + "a" * 4000)) == 4001
