"""A kit for those who write monitors: fakes of what a monitor looks at, and a test of the contract.

One call in a test says whether a monitor keeps the contract of ``monitors.spec``::

    def test_contract() -> None:
        asyncio.run(check_monitor(MyMonitor))

The daemon uses nothing of it.
"""

from __future__ import annotations

from monitors.testing.clock import FakeClock, settle
from monitors.testing.conformance import check_monitor
from monitors.testing.declarations import ConformanceError, check_facts
from monitors.testing.examination import Check, Examination, Finding
from monitors.testing.feeds import ScriptedFeed
from monitors.testing.recorder import Recorder
from monitors.testing.surroundings import FakeSurroundings

__all__ = [
    "Check",
    "ConformanceError",
    "Examination",
    "FakeClock",
    "FakeSurroundings",
    "Finding",
    "Recorder",
    "ScriptedFeed",
    "check_facts",
    "check_monitor",
    "settle",
]
