"""Which route a host and path lead to."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.routing import RouteTable, parse_source
from proxy.wire.host import HostRefused, parse
from proxy.wire.path import canonical


def table(*sources: str) -> RouteTable[str]:
    """A table that returns the `from` of the route that was chosen."""
    return RouteTable((source, source) for source in sources)


def test_the_host_decides() -> None:
    routes = table("https://a.example", "https://b.example")
    assert routes.match("a.example", "/") == "https://a.example"
    assert routes.match("b.example", "/x/y") == "https://b.example"
    assert routes.match("c.example", "/") is None
    assert routes.match("", "/") is None


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    sources = ["https://a.example", "https://a.example/app", "https://a.example/app/admin"]
    for routes in (table(*sources), table(*reversed(sources))):
        assert routes.match("a.example", "/") == sources[0]
        assert routes.match("a.example", "/app") == sources[1]
        assert routes.match("a.example", "/app/") == sources[1]
        assert routes.match("a.example", "/app/x") == sources[1]
        assert routes.match("a.example", "/app/admin") == sources[2]
        assert routes.match("a.example", "/app/admin/x/y/z") == sources[2]


@pytest.mark.parametrize("path", ["/apple", "/app.json", "/App", "/ap", "/", "/x/app"])
def test_a_prefix_ends_at_a_segment_boundary(path: str) -> None:
    assert table("https://a.example/app").match("a.example", path) is None


def test_a_trailing_slash_in_from_makes_no_difference() -> None:
    routes = table("https://a.example/app/")
    assert routes.match("a.example", "/app") == routes.match("a.example", "/app/x") == "https://a.example/app/"


def test_a_wildcard_stands_for_exactly_one_label() -> None:
    routes = table("https://*.apps.example")
    assert routes.match("x.apps.example", "/") == "https://*.apps.example"
    assert routes.match("apps.example", "/") is None
    assert routes.match("x.y.apps.example", "/") is None
    assert routes.match(".apps.example", "/") is None
    assert routes.match("xapps.example", "/") is None
    assert routes.match("x.apps.example.evil.example", "/") is None


def test_an_exact_host_hides_the_wildcard_entirely() -> None:
    routes = table("https://*.apps.example", "https://x.apps.example/api")
    assert routes.match("x.apps.example", "/api/1") == "https://x.apps.example/api"
    assert routes.match("x.apps.example", "/other") is None
    assert routes.match("y.apps.example", "/other") == "https://*.apps.example"


def test_hosts_are_listed_and_known() -> None:
    routes = table("https://*.apps.example", "https://A.example:8443/x", "https://[::1]:8443")
    assert routes.hosts == {"*.apps.example", "a.example", "[::1]"}
    assert routes.knows("a.example")
    assert routes.knows("any.apps.example")
    assert not routes.knows("apps.example")


def test_the_port_plays_no_part() -> None:
    with pytest.raises(ValueError, match="same host and prefix"):
        table("https://a.example:8443/x", "https://A.example./x/")


def test_ten_thousand_hosts_and_ten_thousand_prefixes() -> None:
    hosts = [f"https://h{number}.example" for number in range(10_000)]
    prefixes = [f"https://many.example/p/{number}" for number in range(10_000)]
    routes = table(*hosts, *prefixes)
    assert routes.match("h7777.example", "/a") == hosts[7777]
    assert routes.match("many.example", "/p/7777/a/b") == prefixes[7777]
    assert routes.match("many.example", "/p/77777") is None


def test_a_deep_path_costs_only_as_deep_as_the_deepest_prefix() -> None:
    assert table("https://a.example", "https://a.example/x/y").match("a.example", "/x/y" + "/z" * 10_000) is not None


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "prefix", "origin"),
    [
        ("https://a.example", "https", "a.example", None, "", "https://a.example"),
        ("https://A.Example.:443/", "https", "a.example", 443, "", "https://a.example"),
        ("https://a.example:8443/App/x", "https", "a.example", 8443, "/App/x", "https://a.example:8443"),
        ("http://localhost:80", "http", "localhost", 80, "", "http://localhost"),
        ("https://*.apps.example/café", "https", "*.apps.example", None, "/café", "https://*.apps.example"),
        ("https://[0::1]:8443", "https", "[::1]", 8443, "", "https://[::1]:8443"),
        ("https://10.0.0.1:8443", "https", "10.0.0.1", 8443, "", "https://10.0.0.1:8443"),
    ],
)
def test_from_is_read(text: str, scheme: str, host: str, port: int | None, prefix: str, origin: str) -> None:
    source = parse_source(text)
    assert source == (scheme, host, port, prefix)
    assert source.origin == origin


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write it like https://"),
        ("a.example", "write it like https://"),
        ("ftp://a.example", "write it like https://"),
        ("HTTPS://a.example", "write it like https://"),
        ("https://", "names no host"),
        ("https:///x", "names no host"),
        ("https://:8443", "names no host"),
        ("https://u:p@a.example", "user information"),
        ("https://a.example?x", "query or fragment"),
        ("https://a.example/x#y", "query or fragment"),
        ("https://a.example:0", "bad port"),
        ("https://a.example:", "bad port"),
        ("https://a.example:65536", "bad port"),
        ("https://a.example:http", "bad port"),
        ("https://a..example", "not a DNS name"),
        ("https://a b.example", "not a DNS name"),
        ("https://bücher.example", "xn--"),
        ("https://*", "whole first label"),
        ("https://*a.example", "whole first label"),
        ("https://a.*.example", "whole first label"),
        ("https://*.*.example", "whole first label"),
        ("https://*.0.0.1", "ends in a number"),
        ("https://127.1", "ends in a number"),
        ("https://[::1", "IPv6"),
        ("https://[::1]x", "IPv6"),
        ("https://[::g]", "IPv6"),
        ("https://a.example//x", "empty"),
        ("https://a.example/x/../y", "'..'"),
        ("https://a.example/./y", "'.'"),
        ("https://a.example/a%20b", "decoded"),
        ("https://a.example/a;b", "decoded"),
        ("https://a.example/a\\b", "decoded"),
        ("https://a.example/a b", "decoded"),
    ],
)
def test_a_bad_from_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_source(text)
    assert says in str(refusal.value)


AUTHORITIES = st.text("aB1-_.:[]*@0x", max_size=16)
PATHS = st.text("aé/.;%2\\ ~?", max_size=12)


@given(AUTHORITIES, PATHS)
def test_what_from_accepts_is_what_requests_become(authority: str, path: str) -> None:
    """INVARIANT: a host or prefix that a route may be written with is one that some request can have."""
    try:
        source = parse_source(f"https://{authority}/{path}")
    except ValueError:
        return
    assume(not source.host.startswith("*."))
    assert parse(source.host.encode("ascii")).host == source.host
    if source.prefix:
        sent = "".join(f"%{byte:02x}" if byte > 0x7F else chr(byte) for byte in source.prefix.encode())
        assert canonical(sent.encode("ascii")).path == source.prefix


@given(AUTHORITIES)
def test_hosts_are_read_alike_in_from_and_in_requests(authority: str) -> None:
    try:
        of_request = tuple(parse(authority.encode("ascii")))
    except HostRefused:
        of_request = None
    try:
        of_route = parse_source(f"https://{authority}")[1:3]
    except ValueError:
        of_route = None
    assert of_route == of_request or (of_route is not None and of_route[0].startswith("*."))


SEGMENTS = st.sampled_from(["a", "b", "ab"])
PREFIXES = st.lists(SEGMENTS, max_size=3).map(lambda parts: "".join(f"/{part}" for part in parts))


@given(st.sets(PREFIXES, min_size=1), st.lists(SEGMENTS, max_size=5), st.booleans())
def test_the_table_agrees_with_trying_every_prefix(prefixes: set[str], segments: list[str], slash: bool) -> None:
    path = "".join(f"/{part}" for part in segments) + ("/" if slash or not segments else "")
    fitting = [prefix for prefix in prefixes if path == prefix or path.startswith(prefix + "/")]
    expected = max(fitting, key=len, default=None)
    routes = RouteTable((f"https://a.example{prefix}", prefix) for prefix in prefixes)
    assert routes.match("a.example", path) == expected
