"""The fixtures of this folder; see `session_people`."""

from session_people import clock, sqlite, store

__all__ = ["clock", "sqlite", "store"]
