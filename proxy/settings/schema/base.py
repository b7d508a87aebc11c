"""The kinds of value all parts of the configuration share."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Duration(float):
    """Seconds, written as `250ms`, `10s`, `15m`, `12h`, `7d` or a sum such as `1h30m`."""


class Size(int):
    """Bytes, written as `512`, `32KiB`, `10MiB`, `2GiB` (or kB, MB, GB in powers of ten)."""


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only, unknown keys are errors."""


NonEmpty = Annotated[tuple[str, ...], Meta(min_length=1)]


class SecretRef(Strict, frozen=True, kw_only=True):
    """Where a secret is: an environment variable or a file. Secrets are never written in the configuration."""

    env: str | None = None
    file: str | None = None


Name = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PlainName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
