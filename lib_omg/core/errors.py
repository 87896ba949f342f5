"""The errors a user is meant to read."""

from __future__ import annotations


class OmgError(Exception):
    """Something OMG can't do, in words for the user: what happened and what to do about it."""

    def __init__(self, message: str, status_code: int = 500) -> None:
        super().__init__(message)
        self.status_code = status_code
        """HTTP status that the host's API answers with (it reads this attribute)."""


class SettingsError(OmgError, ValueError):
    """A setting is unknown or wrong; the message names the field, what was expected and what was found."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status_code=422)
