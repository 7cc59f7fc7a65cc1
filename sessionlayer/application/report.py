"""The library's words in the program's own log, under the name ``migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionlayer.application.outcome import Outcome

if TYPE_CHECKING:
    import logging


def log_failure(outcome: Outcome[Any], what: str) -> None:
    """Log the failure of a settled outcome, if it is one."""
    if outcome.error is not None:
        log_error(what, outcome.error)


def log_error(what: str, error: BaseException) -> None:
    """Log that something of the program's has failed, with its traceback."""
    _logger().error("%s has failed: %s", what, error, exc_info=error)


def log_warning(text: str) -> None:
    """Log what the program's people should know, and no code of it has to act on."""
    _logger().warning("%s", text)


def _logger() -> logging.Logger:
    import logging  # takes 6 ms, and is mostly not needed

    return logging.getLogger("migrate")
