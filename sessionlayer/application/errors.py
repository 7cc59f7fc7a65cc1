"""What can go wrong for a program: one error for each decision that it has to make."""

from __future__ import annotations


class MigrateError(Exception):
    """Base of all errors of the application's interface."""


class UnavailableError(MigrateError):
    """Nothing here can keep this session: neither a daemon nor a virtual stream. Go on without."""


class DaemonGoneError(MigrateError, ConnectionError):
    """The daemon went away before it had answered. It is looked for again; the connection lives on."""


class RefusedError(MigrateError):
    """The daemon has refused a request, and everything is as it was before.

    Attributes:
        code: for programs, such as ``quota`` or ``cycle``.
        reason: for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class SessionEndedError(MigrateError):
    """The session is one no more.

    Attributes:
        code: one of ``expired closed killed incompatible lost``.
        reason: for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the session has ended: {reason or code}")
        self.code = code
        self.reason = reason
