"""A sound configuration on disk, and what is said when something in it is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.settings.load import check

CONFIGURATION = """\
listeners:
  - address: 127.0.0.1:8443
    tls: {certificates: [{cert: a.crt, key: a.key}], client_ca: ca.crt}
  - address: 127.0.0.1:8080
login:
  url: https://login.apps.localhost:8443
  providers:
    - name: demo
      issuer: http://127.0.0.1:9000
      client_id: ostiary
      client_secret: {env: OSTIARY_TEST_SECRET}
sessions: {lifetime: 12h, idle: 1h}
assertion: {key: assertion.key}
state: sqlite:state.db
audit: {file: audit.jsonl}
admin: {address: 127.0.0.1:9901}
routes: routes/
"""

ROUTES = """\
routes:
  - name: grafana
    from: https://grafana.apps.localhost:8443
    to: http://127.0.0.1:3000
    allow: [{name: staff, authenticated: true}]
"""


class World:
    """A folder with `ostiary.yaml` and `routes/apps.yaml`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "ostiary.yaml"
        self.routes = folder / "routes" / "apps.yaml"
        self.routes.parent.mkdir()
        self.configuration.write_text(CONFIGURATION)
        self.routes.write_text(ROUTES)

    def change(self, before: str, after: str) -> None:
        """Replace a text that is there exactly once."""
        text = self.configuration.read_text()
        assert text.count(before) == 1, before
        self.configuration.write_text(text.replace(before, after))

    def says(self, case: dict[str, Any]) -> list[str]:
        """Make the changes of a case and return what is said: `file:line:column: message → hint`.

        Missing certificates and secrets are left out: they are missing on purpose.
        """
        for before, after in case.get("change", {}).items():
            self.change(before, after)
        if "routes" in case:
            self.routes.write_text(case["routes"])
        problems = check(self.configuration).problems
        told = [problem for problem in problems if "no such file" not in problem.message]
        told = [problem for problem in told if "OSTIARY_TEST_SECRET" not in problem.message]
        lines = [f"{problem} → {problem.hint}" if problem.hint else str(problem) for problem in told]
        return [line.replace(f"{self.folder}/", "") for line in lines]
