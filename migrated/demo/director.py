"""The director: takes the session through the scenes and writes down what comes of each."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Protocol

from migrated.demo.daemon import Heard
from migrated.demo.report import Performance, SceneResult
from migrated.demo.scenario import Outcome, Scene, Step
from migrated.demo.timeline import BAD, GOOD, QUIET, SCENE, Timeline
from migrated.demo.traffic import Traffic
from migrated.demo.words import describe, milliseconds, reasons

CLIENT = "client"
"""The host whose links change, and whose daemon therefore decides."""

ADOPTION_LIMIT_S = 15.0
OUTCOME_LIMIT_S = 10.0
OPENING_S = 1.5
"""For how long data flow before the first scene: the gap in this time is what the machine itself makes."""

_TURN_S = 0.1

_STYLES = {
    "adopted": GOOD,
    "moved": GOOD,
    "resumed": GOOD,
    "suspended": "yellow",
    "refused": BAD,
    "left-alone": BAD,
}


class AdoptionError(RuntimeError):
    """The daemon did not adopt the connection in time."""


class Inbox(Protocol):
    """Where reports arrive, such as ``queue.SimpleQueue``."""

    def get(self, *, timeout: float) -> Heard:
        """Return the next report, or raise ``queue.Empty`` if none comes within ``timeout`` seconds."""


class Scenery(Protocol):
    """What the director works with; a ``Stage`` is one."""

    @property
    def heard(self) -> Inbox:
        """What both daemons report."""

    def perform(self, step: Step) -> None:
        """Do to a link what a scene says."""


class Director:
    """One run of the demonstration. ``clock`` returns seconds that never go back."""

    def __init__(
        self,
        stage: Scenery,
        traffic: Traffic,
        timeline: Timeline,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._traffic = traffic
        self._timeline = timeline
        self._clock = clock
        self._start = clock()
        self._session = ""
        self._moves = 0
        self._suspended_at: float | None = None
        self._suspended_s = 0.0

    def run(self, scenes: tuple[Scene, ...]) -> Performance:
        """Play all scenes.

        Raises:
            AdoptionError: the daemon leaves the connection alone.
            LabError: a deed cannot be done.
        """
        self._await_adoption()
        usual_gap_s = self._open()
        results = [self._play(scene, f"{n}/{len(scenes)}") for n, scene in enumerate(scenes, 1)]
        return Performance(
            scenes=tuple(results),
            moves=self._moves,
            suspended_s=round(self._suspended_s, 2),
            usual_gap_ms=round(usual_gap_s * 1000, 1),
        )

    def elapsed_s(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock() - self._start

    def _await_adoption(self) -> None:
        deadline = self._clock() + ADOPTION_LIMIT_S
        while not self._session:
            if self._clock() > deadline or not self._traffic.flowing:
                raise AdoptionError("the client's daemon did not adopt the connection; see its log")
            self._turn()

    def _open(self) -> float:
        """Let data flow undisturbed for a while; return the longest gap, in seconds."""
        began = self._clock()
        self._traffic.meter.take(began)
        while self._traffic.flowing and self._clock() - began < OPENING_S:
            self._turn()
        gap_s = self._traffic.meter.take(self._clock())
        self._timeline.say(
            f"all is quiet; longest gap in the data: {milliseconds(gap_s * 1000)}",
            QUIET,
            at_s=self.elapsed_s(),
        )
        return gap_s

    def _play(self, scene: Scene, number: str) -> SceneResult:
        self._timeline.say(f"{number}  {scene.title}", SCENE, at_s=self.elapsed_s())
        began = self._clock()
        self._traffic.meter.take(began)
        for step in scene.steps:
            self._stage.perform(step)
        outcome, decided_s = self._await_outcome(scene, began)
        gap_s = self._traffic.meter.take(self._clock())
        return self._told(_result(scene, outcome, decided_s, gap_s))

    def _await_outcome(self, scene: Scene, began: float) -> tuple[Heard | None, float]:
        """Wait until the scene has lasted long enough and its outcome was heard, or can't come any more."""
        outcome, decided_s = None, 0.0
        while self._traffic.flowing:
            heard = self._turn()
            passed_s = self._clock() - began
            if outcome is None and heard is not None and self._fits(scene, heard):
                outcome, decided_s = heard, passed_s
            if passed_s >= (scene.least_s if outcome else max(scene.least_s, OUTCOME_LIMIT_S)):
                break
        return outcome, decided_s

    def _fits(self, scene: Scene, heard: Heard) -> bool:
        event, fields = heard.report.event, heard.report.fields
        ours = heard.host == CLIENT and fields.get("session") == self._session
        return ours and event == scene.outcome.value and scene.link in (None, fields.get("to"))

    def _turn(self) -> Heard | None:
        """Wait a little for the next report, note it, tell it, and return it."""
        try:
            heard = self._stage.heard.get(timeout=_TURN_S)
        except queue.Empty:
            heard = None
        self._timeline.progress(self.elapsed_s(), self._traffic.received_bytes)
        if heard is not None:
            self._note(heard)
            self._tell(heard)
        return heard

    def _note(self, heard: Heard) -> None:
        if heard.host != CLIENT:
            return
        event, session = heard.report.event, heard.report.fields.get("session")
        if event == "adopted" and not self._session:
            self._session = str(session)
        elif session == self._session:
            self._count(event, heard.report.time)

    def _count(self, event: str, at: float) -> None:
        """Count a move, and time a suspension by the daemon's clock."""
        if event in (Outcome.MOVED.value, Outcome.RESUMED.value):
            self._moves += 1
        if event == Outcome.SUSPENDED.value:
            self._suspended_at = at
        elif event == Outcome.RESUMED.value and self._suspended_at is not None:
            self._suspended_s += at - self._suspended_at
            self._suspended_at = None
        elif event == "ended":
            self._session = ""

    def _tell(self, heard: Heard) -> None:
        text = describe(heard)
        # Links come up on the empty stage too; before the adoption only what has to do with it matters.
        if text is None or not (self._session or heard.report.event in _STYLES):
            return
        self._timeline.say(text, _STYLES.get(heard.report.event, QUIET), at_s=self.elapsed_s())
        for reason in reasons(heard):
            self._timeline.say(f"    because {reason}", QUIET)

    def _told(self, result: SceneResult) -> SceneResult:
        if not result.outcome:
            self._timeline.say("what was expected did not happen", BAD, at_s=self.elapsed_s())
        elif result.gap_ms is not None:
            self._timeline.say(
                f"longest gap in the data: {milliseconds(result.gap_ms)}", GOOD, at_s=self.elapsed_s()
            )
        return result


def _result(scene: Scene, outcome: Heard | None, decided_s: float, gap_s: float) -> SceneResult:
    fields = outcome.report.fields if outcome else {}
    outage = scene.outcome is Outcome.SUSPENDED
    return SceneResult(
        title=scene.title,
        outcome=outcome.report.event if outcome else "",
        link=str(fields.get("to", "")),
        decided_ms=round(decided_s * 1000, 1) if outcome else None,
        stopped_ms=fields.get("stopped_ms"),
        gap_ms=None if outage else round(gap_s * 1000, 1),
        because=reasons(outcome) if outcome else (),
    )
