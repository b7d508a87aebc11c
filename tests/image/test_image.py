"""The container image, as far as it can be judged without an engine. `make image-replay` runs its build steps."""

import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from instructions import ROOT, copied, ignored, instructions, stages


def only(word: str) -> str:
    [rest] = [rest for one, rest in stages()[-1] if one == word]
    return rest


def test_every_base_is_pinned_by_a_full_tag():
    [base] = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert [stage[0][1] for stage in stages()] == ["${BASE} AS build", "${BASE}"]


def test_the_dependencies_are_installed_by_hash_and_without_building():
    runs = [rest for word, rest in instructions() if word == "RUN"]
    installs = [part for run in runs for part in run.split("&&") if "pip install" in part]
    shipped, tools, wheel = installs
    for install, lock in ((shipped, "requirements.lock"), (tools, "requirements-dev.lock")):
        assert "--require-hashes" in install
        assert "--only-binary :all:" in install
        assert install.rstrip().endswith(f"-r {lock}")
    assert "/opt/ostiary/" in shipped
    assert "/opt/ostiary/" not in tools, "what compiles the wheel is not shipped"
    assert "--no-deps wheel/*.whl" in wheel


def test_the_shipped_wheel_is_compiled():
    assert any("OSTIARY_COMPILE=1" in rest and "pip wheel" in rest for word, rest in stages()[0] if word == "RUN")


def test_nobody_is_root_and_only_the_state_is_writable():
    assert only("USER") == "10001:10001"
    assert only("VOLUME") == "/var/lib/ostiary"
    order = [word for word, _ in stages()[-1]]
    assert order.index("USER") > max(index for index, word in enumerate(order) if word in {"RUN", "COPY"})


def test_it_starts_and_stops_the_proxy_itself():
    assert json.loads(only("ENTRYPOINT")) == ["ostiary"]
    assert json.loads(only("CMD")) == ["serve", "--config", "/etc/ostiary/config/ostiary.yaml"]
    assert only("STOPSIGNAL") == "SIGTERM"


def test_everything_copied_is_there():
    for word, rest in stages()[0]:
        if word == "COPY":
            for source in rest.split()[:-1]:
                assert copied(source), f"{source} is missing or ignored"


@pytest.mark.parametrize(
    "path",
    [
        "certs/clients-ca.key",
        "var/state.db",
        ".git/config",
        ".venv/bin/python",
        "tests/image/replay.py",
        "proxy/__pycache__/x.pyc",
        "proxy/net/__pycache__/tls.cpython-313.pyc",
        ".env",
    ],
)
def test_what_must_not_reach_the_builder(path):
    assert ignored(Path(path))


def test_no_secret_can_hide_among_what_is_copied():
    files = [file for source in ("proxy", "config") for file in copied(source)]
    assert not [file for file in files if file.suffix in {".key", ".pem", ".db", ".crt"}]
    assert not [file for file in files if b"PRIVATE KEY-----\n" in (ROOT / file).read_bytes()]


class TestHealthCheck:
    """The very words of the Dockerfile, run against an admin address of our own."""

    def run(self, port: int) -> int:
        words = json.loads(re.search(r"CMD (\[.*\])", only("HEALTHCHECK"))[1])
        words = [sys.executable, *words[1:-1], words[-1].replace("127.0.0.1:9901", f"127.0.0.1:{port}")]
        return subprocess.run(words, capture_output=True, check=False, timeout=30).returncode

    @pytest.mark.parametrize(("status", "wanted"), [(200, 0), (503, 1), (404, 1)])
    def test_follows_readyz(self, status, wanted):
        asked = []

        class Admin(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers["Host"]))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert self.run(server.server_port) == wanted
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        assert asked == [("/readyz", f"127.0.0.1:{server.server_port}")]

    def test_fails_when_nothing_answers(self):
        assert self.run(1) == 1
