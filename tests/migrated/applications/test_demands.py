"""Programs that are spared give continuations up when descriptors run short, and before the daemon ends."""

from __future__ import annotations

import asyncio
import resource
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrated.applications import demands as demands_module
from migrated.applications.attachments import Attachment, Attachments, Phase
from migrated.applications.demands import STOP_S, Demands
from migrated.sessions import Condition


class Bench:
    """Three suspended sessions: one spared, one whose program keeps running, one whose program is gone."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.attachments = Attachments()
        self.told: list[str] = []
        self.clock = 0.0
        self.demanded: list[bytes] = []
        for number, (phase, is_open) in enumerate(
            [(Phase.SPARED, True), (Phase.KEEPING, True), (Phase.SPARED, False)]
        ):
            client: Any = SimpleNamespace(open=is_open)
            self.attachments.register(bytes([number]), client, lazy=False).phase = phase
        core = SimpleNamespace(
            sessions=SimpleNamespace(
                of_id=lambda id_: SimpleNamespace(session_id=id_, condition=Condition.SUSPENDED)
            ),
            journal=SimpleNamespace(tell=lambda name, **_: self.told.append(name)),
            now=self.now,
        )
        self.demands = Demands(cast("Any", core), self.attachments, self.demand)

    def now(self) -> float:
        self.clock += STOP_S / 4
        return self.clock

    def demand(self, session: Any, attachment: Attachment) -> None:
        self.demanded.append(session.session_id)
        attachment.phase = Phase.UNTOLD if self.answers else Phase.ASKED


def test_nothing_is_demanded_while_there_are_descriptors() -> None:
    bench = Bench()
    bench.demands.check()
    assert bench.demanded == []


def test_what_was_spared_is_demanded_once_when_they_run_short(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    monkeypatch.setattr(demands_module, "SHORT_SHARE", 1 / limit)  # more than one is open
    bench = Bench()
    for _ in range(2):
        bench.demands.check()
    assert bench.demanded == [b"\0"]
    assert bench.told == ["descriptors-short"]


@pytest.mark.parametrize("answers", [True, False])
def test_a_daemon_that_stops_waits_for_answers_and_not_for_ever(answers: bool) -> None:
    bench = Bench(answers=answers)
    asyncio.run(bench.demands.finish())
    assert bench.demanded == [b"\0"]
    assert (bench.clock >= STOP_S) is not answers
