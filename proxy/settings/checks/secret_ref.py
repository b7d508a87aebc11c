"""How a secret is referred to."""

from __future__ import annotations

from proxy.settings.checks.finding import Finding, Findings
from proxy.settings.document import Path
from proxy.settings.schema import SecretRef


def secret_ref(at: Path, ref: SecretRef) -> Findings:
    """Exactly one place, named properly. Messages never repeat what was written: it may be the secret itself."""
    if (ref.env is None) == (ref.file is None):
        yield Finding(at, f'"{at[-1]}" needs either "env" or "file"', "write {env: NAME} or {file: path}", key=True)
    elif ref.env is not None and not _is_env_name(ref.env):
        yield Finding(
            (*at, "env"), '"env" must be the name of an environment variable', "such as OIDC_SECRET", key=True
        )
    elif ref.file == "":
        yield Finding((*at, "file"), '"file" is empty', "write the path of the file", key=True)


def _is_env_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalnum() and not text[0].isdigit()
