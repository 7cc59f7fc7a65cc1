"""Bytes that go into a program and come out of one: made, paced, counted, hashed and timed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from typing import IO

CHUNK_BYTES = 16 << 10
"""Small enough that at 10 MB/s one leaves every 1.6 ms: no gap that matters hides between two."""

_COUNTER_BYTES = 8


class GapMeter:
    """The longest pause between two arrivals since it was last asked. Pure; seconds on the caller's clock.

    Called from the thread that receives and the one that asks.
    """

    def __init__(self, now: float) -> None:
        self._lock = threading.Lock()
        self._last = now
        self._longest = 0.0

    def arrived(self, now: float) -> None:
        """Note that something arrived."""
        with self._lock:
            self._longest = max(self._longest, now - self._last)
            self._last = now

    def take(self, now: float) -> float:
        """Return the longest pause, one that is still going on included, and begin anew."""
        with self._lock:
            longest = max(self._longest, now - self._last)
            self._last, self._longest = now, 0.0
            return longest


class Pace:
    """When the next bytes may go so that a rate is kept. Pure; what a pause cost is not made good."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._due = 0.0

    def pause_s(self, size: int, now: float) -> float:
        """Return for how many seconds to wait after ``size`` bytes."""
        self._due = max(self._due, now) + size / self._bytes_per_s
        return self._due - now


def chunks() -> Iterator[bytes]:
    """Make data without end in which no two chunks are equal: a lost or repeated one changes the hash."""
    noise = os.urandom(CHUNK_BYTES - _COUNTER_BYTES)
    number = 0
    while True:
        yield number.to_bytes(_COUNTER_BYTES, "big") + noise
        number += 1


class Feeder(threading.Thread):
    """Write paced data to a program until ``stop`` is called, then close its input."""

    def __init__(self, stream: IO[bytes], pace: Pace) -> None:
        super().__init__(name="feeder", daemon=True)
        self._stream = stream
        self._pace = pace
        self._ended = threading.Event()
        self._digest = hashlib.sha256()
        self.sent_bytes = 0
        self.complaint = ""

    def run(self) -> None:
        """Feed; a program that no longer reads ends it, with the reason in ``complaint``."""
        try:
            for chunk in chunks():
                self._stream.write(chunk)
                self._digest.update(chunk)
                self.sent_bytes += len(chunk)
                if self._ended.wait(self._pace.pause_s(len(chunk), time.monotonic())):
                    break
            self._stream.close()
        except OSError as error:
            self.complaint = f"the program takes no more data: {error.strerror}"

    def stop(self) -> None:
        """Let the chunk at hand be the last one."""
        self._ended.set()

    def sha256(self) -> str:
        """Return the hash of what was written, in hexadecimal; call it when the thread has ended."""
        return self._digest.hexdigest()


class Receiver(threading.Thread):
    """Read what a program prints until its end; count, hash and time it. A pace slows the reading down."""

    def __init__(self, stream: IO[bytes], pace: Pace | None = None) -> None:
        super().__init__(name="receiver", daemon=True)
        self._descriptor = stream.fileno()
        self._pace = pace
        self._hurry = threading.Event()
        self._digest = hashlib.sha256()
        self.meter = GapMeter(time.monotonic())
        self.received_bytes = 0

    def run(self) -> None:
        """Receive until the other side closes."""
        while chunk := os.read(self._descriptor, CHUNK_BYTES):
            now = time.monotonic()
            self.meter.arrived(now)
            self._digest.update(chunk)
            self.received_bytes += len(chunk)
            if self._pace is not None:
                self._hurry.wait(self._pace.pause_s(len(chunk), now))

    def hurry(self) -> None:
        """Read as fast as possible from now on."""
        self._hurry.set()

    def sha256(self) -> str:
        """Return the hash of what was read, in hexadecimal; call it when the thread has ended."""
        return self._digest.hexdigest()
