"""One run of a monitor under observation."""

from __future__ import annotations

import asyncio

from monitors.metering import Meter
from monitors.spec import Monitor, Report
from monitors.testing.declarations import expect
from monitors.testing.steps import begin

CANCEL_LIMIT_S = 1.0
"""How long a monitor may take to end after it was cancelled."""

_SLICES = 10
"""In so many parts a run is waited for: a process that is not let run for a while loses one of them only."""


class Trial:
    """A run of a monitor, from its beginning to its cancellation. ``meter`` counts its steps."""

    def __init__(self, monitor: Monitor, report: Report, meter: Meter) -> None:
        self.meter = meter
        self._task = begin(lambda: monitor.run(report), meter)

    @property
    def ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._task.done()

    async def last(self, seconds: float) -> None:
        """Let it go on for so many seconds.

        Raises:
            ConformanceError: it returned or cancelled itself.
            Exception: what it raised.
        """
        await self.wait(seconds)
        if self._task.done():
            expect(not self._task.cancelled(), "run() cancelled itself")
            self._task.result()
            expect(False, "run() returned; it runs until it is cancelled")

    async def wait(self, seconds: float) -> None:
        """Let it go on for so many seconds, or until it ends."""
        for _ in range(_SLICES):
            await asyncio.wait({self._task}, timeout=seconds / _SLICES)

    def failure(self) -> BaseException | None:
        """Return what it raised, once it has ended.

        Raises:
            ConformanceError: it returned or cancelled itself.
        """
        advice = "raise `NotAvailableError`, or whatever went wrong"
        expect(not self._task.cancelled(), f"run() cancelled itself when its source vanished; {advice}")
        error = self._task.exception()
        expect(error is not None, f"run() returned when its source vanished; {advice}")
        return error

    async def cancel(self) -> None:
        """Cancel it and see it end.

        Raises:
            ConformanceError: it does not end, or as if nobody had cancelled it.
        """
        self._task.cancel()
        await self.wait(CANCEL_LIMIT_S)
        expect(self._task.done(), f"run() did not end within {CANCEL_LIMIT_S:g} s of being cancelled")
        expect(self._task.cancelled(), "run() swallowed its cancellation; let `CancelledError` through")
