"""Why a second factor was not accepted."""

from __future__ import annotations

import math


class FactorRefused(Exception):
    """It was not accepted. The text is a sentence for the person: what was wrong and what to do; it tells nothing that
    helps somebody who guesses."""


class TooManyAttempts(Exception):
    """No more tries for now. `wait` is in seconds; infinite when only an admin's reset, or another factor, helps."""

    def __init__(self, wait: float) -> None:
        super().__init__(wait)
        self.wait = wait

    @property
    def sentence(self) -> str:
        """For the person."""
        if math.isinf(self.wait):
            return (
                "Too many wrong codes were typed for this account, so codes are no longer accepted. Use a passkey, or "
                "ask whoever runs this service to reset your second factor."
            )
        minutes = math.ceil(self.wait / 60)
        return f"Too many wrong ones. Try again in {minutes} minute{'' if minutes == 1 else 's'}, or use another way."
