"""The holder's process: ``python -m migrated.terminal DESCRIPTOR FOLDER HOST``, started by `ask`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from migrated.terminal.ask import become_holder
from migrated.terminal.holder import Holder
from migrated.terminal.place import Place

_LOG_BYTES: Final = 256 * 1024


async def hold(place: Place, started: Callable[[], None]) -> None:
    """Hold terminals until there are none, or until told to end.

    Raises:
        OSError: no port or no socket is to be had.
    """
    end = asyncio.Event()

    def end_if_unwanted() -> None:
        # Whoever has the lock may be about to ask for a terminal.
        with place.locked_at_once() as done:
            if done and holder.idle:
                holder.hide()
                end.set()
            else:
                holder.stay()

    holder = Holder(place, on_idle=end_if_unwanted)
    await holder.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    started()
    await end.wait()
    await holder.close()


def main() -> None:
    """Become the holder."""
    descriptor, folder, host = sys.argv[1:]
    place = Place(folder=Path(folder), host=host)
    handler = RotatingFileHandler(place.log, maxBytes=_LOG_BYTES, backupCount=1, delay=True)
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(format=form, level=logging.INFO, handlers=[handler])
    become_holder(place, int(descriptor), lambda where, tell: asyncio.run(hold(where, tell)))


if __name__ == "__main__":
    main()
