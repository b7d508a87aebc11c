"""SQLite's locks belong to the process: closing any descriptor of the database would drop them all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from proxy.sessions.schema import SESSIONS, connect

_VISITOR = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT count(*) FROM sqlite_master").fetchone()
db.close()
"""


def test_another_process_that_comes_and_goes_leaves_the_log_to_us(tmp_path: Path) -> None:
    """It once took itself for the last user, and deleted the write-ahead log under the workers that read it: they
    never saw the revocation it held, and said that they had."""
    path = tmp_path / "state.db"
    held = [connect(path, create=True, deadline=time.monotonic() + 5, tables=SESSIONS) for _ in range(2)]
    held[0].execute("CREATE TABLE something (x)")
    log = Path(f"{path}-wal")
    assert log.exists()
    subprocess.run([sys.executable, "-c", _VISITOR, str(path)], check=True)
    assert log.exists(), "the log of a database in use is gone"
    for connection in held:
        connection.close()
