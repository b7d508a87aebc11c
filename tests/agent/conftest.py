"""The stage of the agent's stories. Logs are written in local time: here it is Greenwich's."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from agent_proxy import Recorder, make_certificates
from agent_stage import WISH, Stage

from proxy.agent.client import Proxy, connected
from proxy.agent.enrolling import enrol
from proxy.agent.home import Home


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def recorder_certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki") / "certs"
    make_certificates(folder)
    return folder


@pytest.fixture
async def recorder(recorder_certificates: Path) -> AsyncIterator[Recorder]:
    async with Recorder(recorder_certificates).serving() as one:
        yield one


@pytest.fixture(name="proxy")
async def proxy_of_recorder(recorder: Recorder) -> AsyncIterator[Proxy]:
    async with connected(recorder.url, recorder.ca.read_text()) as one:
        yield one


@pytest.fixture
async def stage(tmp_path: Path, proxy: Proxy, recorder: Recorder) -> Stage:
    home = Home(tmp_path / "state")
    await enrol(home, proxy, WISH, now=time.time(), environment={})
    return Stage(home, proxy, recorder)
