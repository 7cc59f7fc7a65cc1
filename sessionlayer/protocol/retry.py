"""When to repeat what was not answered: quickly at first, then once a second for ever."""

from __future__ import annotations

from sessionlayer.protocol.limits import RETRY_FIRST_S, RETRY_MAX_S

_DOUBLINGS_MAX = 10


class Backoff:
    """The time of the next repetition: 20 ms after the first sending, then 40, 80 ... up to 1 s apart."""

    def __init__(self, now: float) -> None:
        self.attempt = 0
        self.due = now + RETRY_FIRST_S

    def again(self, now: float) -> None:
        """Note a repetition at ``now`` (seconds, monotonic)."""
        self.attempt += 1
        self.due = now + min(RETRY_FIRST_S * 2 ** min(self.attempt, _DOUBLINGS_MAX), RETRY_MAX_S)
