"""Why the proxy does not start, or keeps the configuration it has."""

from __future__ import annotations


class Unusable(Exception):
    """The configuration is well-formed but cannot be put into force; the message says what and why."""


class CannotStart(Exception):
    """The proxy cannot start; the message says what to change."""
