"""The example's audio server on the benchmarks' stage, with listeners that notice what is left out."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict

from _stage import BenchmarkError, Running, Stage
from _suspending import HERE, LIMIT_S, PORT, STAMPED, Program

from migrated.lab import SERVER_V4

_RADIO = str(HERE / "_radio.py")

PLAIN_AUDIO = Program(argv=(sys.executable, _RADIO, "plain", "--port", PORT))
AUDIO = Program(argv=(*STAMPED, _RADIO, "suspendable", "--port", PORT))


class Listeners:
    """An HTTP client with so many connections (`_listen.py`), each of which hears a station."""

    def __init__(self, stage: Stage, count: int = 1) -> None:
        self._heard: dict[str, list[float]] = defaultdict(list)
        self._changed = threading.Condition()
        words = [sys.executable, str(HERE / "_listen.py"), SERVER_V4, PORT, str(count)]
        self._program = Running(stage.net.client, words, on_line=self._hear)
        self._program.await_ready(LIMIT_S)

    def heard(self, port: str, index: str, after: float) -> float:
        """Return when the first frame arrived that was made after the session had been resumed.

        It comes after all that was under way when the session was suspended, and after the rest of the frame
        that was cut off; those in between are left out.

        Raises:
            BenchmarkError: none arrived.
        """
        del index  # it has no numbers that the program knows of
        found: list[float] = []

        def arrived() -> bool:
            found[:] = [at for at in self._heard[port] if at > after]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(arrived, LIMIT_S):
                raise BenchmarkError(f"the listener at port {port} did not hear what is live again")
        return found[0]

    def close(self) -> None:
        """End it."""
        self._program.close()

    def _hear(self, line: str) -> None:
        moment, port, _ = line.split()
        with self._changed:
            self._heard[port].append(float(moment))
            self._changed.notify_all()
