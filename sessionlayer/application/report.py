"""The library's words in the program's own log, under the name ``migrate``."""

from __future__ import annotations

from typing import Any

from sessionlayer.application.outcome import Outcome


def log_failure(outcome: Outcome[Any], what: str) -> None:
    """Log the failure of a settled outcome, if it is one."""
    if outcome.error is not None:
        log_error(what, outcome.error)


def log_error(what: str, error: BaseException) -> None:
    """Log that something of the program's has failed, with its traceback."""
    import logging  # takes 6 ms, and is mostly not needed

    logging.getLogger("migrate").error("%s has failed: %s", what, error, exc_info=error)
