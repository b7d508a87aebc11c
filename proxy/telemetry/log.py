"""Log lines on stderr: text for a terminal, one JSON object per line for everything else, secrets taken out.

Everybody logs with the standard library (`logging.getLogger("ostiary.<room>")`); fields go into `extra={"route": …}`.
`configure` is called once per process.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from proxy.telemetry.redaction import HIDDEN, is_secret_name, redact

Format = Literal["auto", "text", "json"]

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
# A client's bytes must not start a line of their own or move a terminal's cursor.
_ONE_LINE = str.maketrans(_CONTROLS | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"})
_SEVERAL_LINES = str.maketrans({code: text for code, text in _CONTROLS.items() if code not in (0x09, 0x0A)})
_MAX = 4 * 1024  # characters of a message or field; a longer one is cut
_MAX_TROUBLE = 16 * 1024  # of a traceback


def configure(*, format: Format = "auto", level: str = "INFO", stream: TextIO | None = None, worker: str = "") -> None:  # noqa: A002 - `format` is what everybody calls it
    """Send all logging of this process to `stream` (stderr) in `format`; `worker` is put on every line."""
    stream = stream or sys.stderr
    as_text = format == "text" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter(worker) if as_text else JsonFormatter(worker))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # requests are in the record already


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "message", fields…, "error"?}`, one object per line."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end; never raises for what a field holds."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        if self._worker:
            line["worker"] = self._worker
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        if trouble := _trouble(record, self):
            line["error"] = trouble
        return msgspec.json.encode(line).decode()


class TextFormatter(logging.Formatter):
    """`12:00:00 warning  message  name=value`, with a traceback on the lines below."""

    def __init__(self, worker: str = "") -> None:
        super().__init__()
        self._worker = f"[{worker}] " if worker else ""

    def format(self, record: logging.LogRecord) -> str:
        """The text; only a traceback has line breaks."""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        text = f"{self._worker}{_clean(record.getMessage())}{fields}".translate(_ONE_LINE)
        line = f"{_time(record)[11:19]} {record.levelname.lower():8} {text}"
        trouble = _trouble(record, self)
        return f"{line}\n{trouble.translate(_SEVERAL_LINES)}" if trouble else line


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`: plain values stay, others become text; secrets are hidden."""
    return {
        name: HIDDEN if is_secret_name(name) else _plain(value)
        for name, value in vars(record).items()
        if name not in _STANDARD and not name.startswith("_")
    }


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _clean(value if isinstance(value, str) else repr(value))


def _clean(text: str, most: int = _MAX) -> str:
    cut = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return redact(cut.encode("utf-8", "backslashreplace").decode())


def _trouble(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return _clean("\n".join(parts), _MAX_TROUBLE)
