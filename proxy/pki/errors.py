"""The one error of this room."""


class PkiError(Exception):
    """Something asked of the authority that it will not or cannot do. The message says what to change."""
