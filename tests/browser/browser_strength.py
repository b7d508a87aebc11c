"""A product whose provider has no second factor, with an app that takes forms, and a passkey in the browser's hands."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from browser_product import Branch, _end_of

from proxy.demo import certificates
from proxy.demo.children import Children
from proxy.demo.layout import LOOPBACK, free_ports, prepare

_PAGE = """<!doctype html><meta charset="utf-8"><title>Expenses</title>
<form action="/pay/save?draft=1" method="post" enctype="multipart/form-data">
<input name="amount" value="42 €"><textarea name="note"></textarea><input type="file" name="receipt">
<button>Send</button></form>
<form action="/pay/quick" method="post"><input name="quick" value="a&amp;b=c"><button>Quick</button></form>
<form action="/seldom" method="post" enctype="text/plain"><input name="plain" value="x=y">
<button>Plain</button></form>"""
_ROUTE = """
routes:
  - name: forms
    title: Expenses
    from: https://forms.apps.localhost:{https}
    to: http://127.0.0.1:{app}
    allow:
      - {{name: strongly, authenticated: true, paths: [/pay/**], mfa: true}}
      - {{name: anybody, authenticated: true, paths: [/, /seldom]}}
  - name: headers
    from: https://headers.apps.localhost:{https}
    to: http://127.0.0.1:{headers}
    allow: [{{name: anybody, authenticated: true}}]
"""


class Sent:
    """One POST as the app received it."""

    def __init__(self, target: str, kind: str, fields: list[tuple[str, Any]], body: bytes) -> None:
        self.target = target
        self.kind = kind
        self.fields = fields
        self.body = body


class Strong(Branch):
    """`sent` is what arrived at the app."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self.sent: list[Sent] = []
        self._runner: web.AppRunner | None = None

    def configure(self) -> None:
        config = yaml.safe_load(self.layout.config.read_text("utf-8"))
        one = config["login"]["providers"][0]
        own = {"name": "head", "title": "Head office", "issuer": self.issuers["head"], "step_up": "own"}
        config["login"]["providers"] = [one | own]
        self.layout.config.write_text(json.dumps(config), "utf-8")

    async def start_forms(self) -> None:
        """Start the app that takes forms, and its route."""
        application = web.Application()
        application.router.add_get("/{rest:.*}", self._page)
        application.router.add_post("/{rest:.*}", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        port = self._runner.addresses[0][1]
        for file in (self.layout.config.parent / "routes").glob("*.yaml"):
            file.unlink()
        ports = self.layout.ports
        self.route("forms", _ROUTE.format(https=ports.https, app=port, headers=ports.headers))

    async def stop_forms(self) -> None:
        """End it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text=_PAGE, content_type="text/html")

    async def _take(self, request: web.Request) -> web.Response:
        kind = request.content_type
        body, fields = b"", list[tuple[str, Any]]()
        if kind != "multipart/form-data":
            body = await request.read()
        else:
            for name, value in (await request.post()).items():
                file = isinstance(value, web.FileField)
                fields.append((name, (value.filename, value.content_type, value.file.read()) if file else value))
        self.sent.append(Sent(request.path_qs, kind, fields, body))
        return web.Response(text=f"<title>Saved</title><h1>Saved {len(self.sent)}</h1>", content_type="text/html")


@contextlib.asynccontextmanager
async def strong(home: Path) -> AsyncIterator[Strong]:
    """Everything, running."""
    layout = prepare(home, free_ports())
    certificates.ensure(layout.certs, now=time.time())
    with tempfile.TemporaryFile() as output:
        children = Children(output)
        product = Strong(layout, children)
        product.configure()
        try:
            await product.start_idp("head")
            await product.start_app("headers")
            await product.start_forms()
            await product.start_proxy()
            for name in ("head", "headers", "https"):
                await product.listening(name)
        except BaseException:
            sys.stderr.write(_end_of(output))
            raise
        else:
            yield product
        finally:
            await product.stop_forms()
            await children.stop()


async def passkey_in(tab: Any, **how: bool) -> Any:
    """A virtual authenticator for this tab (Chrome DevTools Protocol, WebAuthn); the protocol session."""
    protocol = await tab.context.new_cdp_session(tab)
    await protocol.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True, **how}
    await protocol.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return protocol
