"""What happened, told twice: one line in the log, and one event to everybody who watches."""

from __future__ import annotations

import logging
import time

from migrated import log
from migrated.control.broadcast import Broadcast
from migrated.control.messages import EventReport

_log = logging.getLogger("migrated")

Field = str | int | float | bool | list[str]


class Journal:
    """Tells the log and the watchers."""

    def __init__(self) -> None:
        self.watchers = Broadcast()

    def tell(
        self, name: str, *, level: int = logging.INFO, owner: int | None = None, **fields: Field
    ) -> None:
        """Tell one event, with what a person would want to know of it.

        Args:
            name: what happened.
            level: how loudly the log says it.
            owner: the user whose session it is about; ``None`` for what is no one's.
            fields: the particulars.
        """
        log.event(_log, level, name, **fields)
        self.watchers.publish(EventReport(time=time.time(), event=name, fields=dict(fields)), owner)
