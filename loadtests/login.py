"""Log in at the development form of npm `oidc-provider`, as a browser would, and keep the cookie Apache then sets."""

from __future__ import annotations

import asyncio
import re

import aiohttp
from yarl import URL

_FORM = re.compile(r'<form[^>]*action="([^"]+)"[^>]*>(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r'name="([^"]+)"[^>]*value="([^"]*)"')
_SESSION = "mod_auth_openidc_session"


async def _log_in(start: str) -> str:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=20)) as browser:
        answer = await browser.get(start)
        for _ in range(4):  # log-in form, then consent form
            found = _FORM.search(await answer.text())
            if found is None:
                break
            fields = dict(_FIELD.findall(found[2]))
            if 'name="login"' in found[2]:
                fields |= {"login": "alice", "password": "any will do"}
            answer = await browser.post(answer.url.join(URL(found[1])), data=fields)
        if answer.status != 200:
            raise RuntimeError(f"logging in ended at {answer.url} with {answer.status}")
        sessions = [f"{cookie.key}={cookie.value}" for cookie in jar if cookie.key == _SESSION]
        if not sessions:
            raise RuntimeError(f"logging in at {start} set no {_SESSION} cookie")
        return sessions[0]


def log_in(start: str) -> str:
    """The `name=value` of the session cookie after logging in from `start`. Raises RuntimeError when that fails."""
    return asyncio.run(_log_in(start))
