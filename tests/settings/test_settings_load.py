"""From files to Settings: relative paths, the revision, what is watched, certificates and secrets that are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from settings_world import CONFIGURATION, ROUTES, World

from proxy.routing import parse_source
from proxy.settings import forms
from proxy.settings.json_schema import json_schema, key_comments, written_schema
from proxy.settings.load import check, check_routes_file, load
from proxy.settings.problems import ConfigError
from proxy.settings.schema import Duration, WeightedUpstream

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OSTIARY_TEST_SECRET", "s3cret")
    return World(tmp_path)


def test_a_sound_configuration(world: World) -> None:
    found = load(world.configuration, strict_files=False)
    assert found.configuration.sessions.idle == Duration(3600)
    assert [route.name for route in found.routes] == ["grafana"]
    assert found.routes[0].allow[0].authenticated is True


def test_paths_are_relative_to_the_file_that_names_them(world: World) -> None:
    world.routes.write_text(
        ROUTES.replace("http://127.0.0.1:3000", "[{url: 'unix:app.sock', weight: 2}, 'https://a.example']")
        + "    upstream_tls: {ca: ../upstream-ca.crt}\n"
    )
    found = load(world.configuration, strict_files=False)
    folder = world.folder
    tls = found.configuration.listeners[0].tls
    assert tls is not None
    assert tls.certificates[0].cert == f"{folder}/a.crt"
    assert tls.client_ca == f"{folder}/ca.crt"
    assert found.configuration.state == f"sqlite:{folder}/state.db"
    assert found.configuration.audit.file == f"{folder}/audit.jsonl"
    assert found.configuration.routes == (f"{folder}/routes",)
    assert found.routes[0].to == (WeightedUpstream(url=f"unix:{folder}/routes/app.sock", weight=2), "https://a.example")
    assert found.routes[0].upstream_tls.ca == f"{folder}/upstream-ca.crt"


def test_what_is_watched(world: World) -> None:
    found = load(world.configuration, strict_files=False)
    names = ["ostiary.yaml", "routes/apps.yaml", "routes", "a.key", "a.crt", "ca.crt", "assertion.key"]
    assert found.files == tuple(f"{world.folder}/{name}" for name in names)


def test_the_revision_follows_the_content_and_not_the_place(world: World, tmp_path: Path) -> None:
    revision = load(world.configuration, strict_files=False).revision
    assert revision == load(world.configuration, strict_files=False).revision
    copy = tmp_path / "copy"
    copy.mkdir()
    other = World(copy)
    assert load(other.configuration, strict_files=False).revision == revision
    other.routes.write_text(ROUTES + "# a comment\n")
    assert load(other.configuration, strict_files=False).revision != revision
    other.routes.write_text(ROUTES)
    other.routes.rename(other.routes.with_name("other.yaml"))
    assert load(other.configuration, strict_files=False).revision != revision


def test_every_yaml_file_of_the_folder_and_nothing_else(world: World) -> None:
    for name in ("b.yml", ".hidden.yaml", "b.yaml~", "notes.txt"):
        (world.routes.parent / name).write_text(ROUTES.replace("grafana", name[0] if name == "b.yml" else "x"))
    assert [route.name for route in load(world.configuration, strict_files=False).routes] == ["grafana", "b"]


def test_an_empty_folder_is_a_warning(world: World) -> None:
    world.routes.unlink()
    checked = check(world.configuration)
    assert checked.settings is not None
    assert any("holds no .yaml file" in problem.message for problem in checked.problems)


def test_missing_files_are_warnings_to_check_and_errors_to_serve(world: World) -> None:
    assert check(world.configuration).settings is not None
    with pytest.raises(ConfigError) as caught:
        load(world.configuration)
    messages = [str(problem) for problem in caught.value.problems]
    assert f"{world.configuration}:3:45: {world.folder}/a.key: no such file or directory" in messages
    assert f"{world.configuration}:13:18: {world.folder}/assertion.key: no such file or directory" in messages


def test_an_unset_secret_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSTIARY_TEST_SECRET")
    problems = check(world.configuration).problems
    messages = [problem.message for problem in problems]
    assert "the environment variable OSTIARY_TEST_SECRET is not set, or empty" in messages


def test_real_certificates_are_looked_at(world: World) -> None:
    make_key(world.folder, "a", "grafana.apps.localhost")
    make_key(world.folder, "b", "other.apps.localhost")
    for name, source in (("ca.crt", "b.crt"), ("assertion.key", "b.key")):
        shutil.copy(world.folder / source, world.folder / name)
    assert load(world.configuration).routes[0].name == "grafana"

    shutil.copy(world.folder / "b.key", world.folder / "a.key")
    assert reasons(world) == [f"{world.folder}/a.crt and {world.folder}/a.key do not belong together"]
    (world.folder / "ca.crt").write_text("not a certificate")
    assert f"{world.folder}/ca.crt holds no certificates in PEM form" in reasons(world)
    world.change("admin: {", "devices: {tpm_authorities: b.key}\nadmin: {")
    assert any(f"{world.folder}/b.key must hold certificates in PEM form" in reason for reason in reasons(world))
    (world.folder / "a.key").chmod(0o644)
    assert any("can be read or written by everybody" in reason for reason in reasons(world))


def test_an_encrypted_key_is_refused_with_the_reason(world: World) -> None:
    (world.folder / "a.crt").write_text("x")
    (world.folder / "a.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert any("a.key is encrypted" in reason for reason in reasons(world))


def test_certificates_that_end(world: World) -> None:
    make_key(world.folder, "a", "grafana.apps.localhost")
    certificate = x509.load_pem_x509_certificate((world.folder / "a.crt").read_bytes())
    end = certificate.not_valid_after_utc

    name = f"{world.folder}/a.crt"

    def said(now: float) -> list[str]:
        problems = check(world.configuration, now=now).problems
        return [problem.message for problem in problems if problem.message.startswith(name)]

    assert said(end.timestamp() + 1) == [f"{name} has expired on {end:%Y-%m-%d}"]
    assert said(end.timestamp() - 3600) == [f"{name} expires on {end:%Y-%m-%d}"]
    assert said(end.timestamp() - 15 * 86_400)[0].startswith(f"{name} is valid only from ")


def reasons(world: World) -> list[str]:
    return [problem.message for problem in check(world.configuration, strict_files=True).problems]


def make_key(folder: Path, name: str, host: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", f"/CN={host}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / f"{name}.key").chmod(0o600)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "ostiary.yaml")
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path}/ostiary.yaml: no such file or directory"
    ]


def test_one_routes_file_by_itself(world: World) -> None:
    routes, problems = check_routes_file(world.routes)
    assert [route.name for route in routes] == ["grafana"]
    assert problems == ()


def test_ten_thousand_routes(world: World) -> None:
    one = ROUTES.removeprefix("routes:\n")
    world.routes.write_text("routes:\n" + "".join(one.replace("grafana", f"app-{number}") for number in range(10_000)))
    assert len(load(world.configuration, strict_files=False).routes) == 10_000


# --- the example and the schema ----------------------------------------------------------------------------------


def test_the_example_is_accepted() -> None:
    checked = check(REPOSITORY / "config" / "ostiary.yaml")
    assert [str(problem) for problem in checked.problems if problem.severity == "error"] == []
    wrong = [problem for problem in checked.problems if "no such file" not in problem.message]
    assert wrong == []


def test_the_schema_in_config_is_current() -> None:
    written = (REPOSITORY / "config" / "ostiary.schema.json").read_text()
    assert written == written_schema(), "run: ostiary check --schema > config/ostiary.schema.json"


def test_the_schema_says_what_keys_mean() -> None:
    schema = json_schema()
    route = schema["$defs"]["Route"]["properties"]
    assert route["from"]["description"] == key_comments()["Route", "source"]
    assert route["public"] == {"type": "boolean", "description": key_comments()["Route", "public"], "default": False}
    assert schema["$defs"]["Sessions"]["properties"]["idle"]["default"] == "1h"
    assert schema["$defs"]["Rule"]["properties"]["groups"]["minItems"] == 1
    assert '"null"' not in json.dumps(schema)


# --- agreement with routing --------------------------------------------------------------------------------------

hosts = st.from_regex(r"(\*\.)?[a-zA-Z0-9_.:\[\]-]{1,12}", fullmatch=True)
sources = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["https", "http", "HTTPS", ""]),
    hosts,
    st.sampled_from(["", ":1", ":0", ":443", ":65536", ":08", ":"]),
    st.text(alphabet="/a.%~;*\\é-_", max_size=8),
)


@given(sources)
@settings(max_examples=1000)
def test_a_place_means_the_same_to_routing(text: str) -> None:
    try:
        ours = forms.origin(text, wildcard=True)
    except forms.Malformed:
        return
    try:
        theirs = parse_source(text)
    except ValueError:
        return  # reported too: check_route asks parse_source as well
    brackets = theirs.host.strip("[]")
    assert (ours.scheme, ours.host, ours.prefix) == (theirs.scheme, brackets, theirs.prefix)
    assert theirs.port in (None, ours.port)


# --- nothing crashes it ------------------------------------------------------------------------------------------

words = st.sampled_from(
    [
        "listeners",
        "login",
        "assertion",
        "routes",
        "sessions",
        "name",
        "from",
        "to",
        "allow",
        "deny",
        "users",
        "groups",
        "claims",
        "not",
        "hours",
        "zone",
        "tls",
        "url",
        "env",
        "file",
        "address",
        "certificates",
        "providers",
        "methods",
        "paths",
        "networks",
        "services",
        "set",
        "remove",
        "key",
        "x",
        "true",
        "1",
        "1.5",
        "10s",
        "[]",
        "{}",
        "''",
        "'a'",
        "https://a.b",
        "https://*.a",
        "http://1.2.3.4:5/x",
        "@a",
        "a@b",
        "/x/**",
        "10.0.0.0/8",
        "no",
        "~",
        "&a",
        "*a",
        "!t",
    ]
)
junk = st.recursive(
    words,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(words, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=20,
)


@given(junk, junk)
@settings(max_examples=400, deadline=None)
def test_random_yaml_is_accepted_or_refused_properly(
    tmp_path_factory: pytest.TempPathFactory, one: str, two: str
) -> None:
    folder = tmp_path_factory.mktemp("junk", numbered=True)
    (folder / "ostiary.yaml").write_text(CONFIGURATION.replace("routes/", "apps.yaml") + f"limits: {one}\n")
    (folder / "apps.yaml").write_text(f"routes: [{{name: a, {two.strip('[]{}')}}}, {one}, {two}]")
    checked = check(folder / "ostiary.yaml")
    assert (checked.settings is None) == any(problem.severity == "error" for problem in checked.problems)


def test_the_fuzzer_finds_nothing_in_a_moment() -> None:
    fuzzer = REPOSITORY / "tests" / "fuzz" / "fuzz_configuration.py"
    done = subprocess.run([sys.executable, fuzzer, "1", "7"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
