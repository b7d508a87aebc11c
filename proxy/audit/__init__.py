"""The record: every decision as one JSON line, written without making a request wait, never silently lost.

Owns the line's shape (`event`, pure), the file many workers append to (`appender`), the marks that tell a clean end
from a crash (`runs`), and the buffer, the writer thread and what happens when the disk fails (`journal`).
Must not know: HTTP, sessions, how a decision is made.
To add a field to the record: `event.Event`. To add a fact: nothing to do here, `Facts` is recorded whole.
To send the record elsewhere: an exporter beside `appender`, fed by the writer thread.
"""
