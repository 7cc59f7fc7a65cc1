"""One call that says whether a monitor keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

from monitors.spec import Monitor
from monitors.testing.declarations import ConformanceError
from monitors.testing.examination import Examination, Means
from monitors.testing.recorder import Recorder


async def check_monitor(
    make: Callable[[], Monitor],
    *,
    run_s: float = 0.2,
    vanish: Means | None = None,
    come_back: Means | None = None,
    churn: Callable[[int], object] | None = None,
) -> Recorder:
    """Check that a monitor keeps the contract, and return what it reported in its first two runs.

    What can be checked without help is: that making one neither reads nor waits; names and facts; that it
    runs until it is cancelled, ends then, and can be run again; that it reports events, and measurements only
    as it declared them; nothing twice in a row, unless the value would expire; and what was refused again;
    that no step of it holds up the event loop for more than `monitors.testing.examination.STEP_LIMIT_S`.

    Some things only the test can do. It gives functions for them, which may be asynchronous.

    Args:
        make: returns a new monitor, such as its class.
        run_s: how long each run lasts, in seconds; long enough for the first report.
        vanish: takes the source of the monitors away. They may fail or raise `NotAvailableError` then, or go
            on with pauses; but nothing that they measured without a lifetime may hold for ever.
        come_back: gives the source back, after which they must do well again. Needed with ``vanish``.
        churn: has something come that the monitors have not seen yet, and go again, with a number that tells
            one from the other. They must forget it.

    Raises:
        ConformanceError: it doesn't.
        NotAvailableError: what it watches is not there.
        Exception: what it raised by itself.
    """
    examination = Examination(make, run_s=run_s, vanish=vanish, come_back=come_back, churn=churn)
    async for finding in examination.findings():
        if finding.error is not None:
            raise finding.error
        if finding.fault:
            raise ConformanceError(finding.fault)
    return examination.recorder
