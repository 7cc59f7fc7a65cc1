"""Run timelines: put in what each step says, let time pass, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from engine import Decision, Move, Resume
from migrated.authoring.described import DescriptionError
from migrated.authoring.expectations import Mismatch, compare, expectations
from migrated.authoring.policies import read_policy
from migrated.authoring.simulation import EndlessError, Given
from migrated.authoring.stage import OF_SESSIONS, OF_THE_HOST, Stage, seconds
from migrated.authoring.timeline_file import Step, Timeline, TimelineFile, several
from policylang.ast import Layer, Policy, Span
from policylang.loader import PolicyFile

MAX_TOLD: Final = 1000
"""Events of a test that are kept for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that happened, at this second of a test."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a test.

    Attributes:
        file: The file it is in.
        name: Its name.
        line: The line of the step at which it ended, else of the test.
        status: Whether all was as expected, or something was not, or the test itself makes no sense.
        message: What is wrong, in a line; empty if nothing is.
        mismatches: What was not as expected.
        story: What happened, in order.
        checked: How many things were compared.
        reached: The statements that were in force for one of its sessions at any time.
    """

    file: Path
    name: str
    line: int
    status: Literal["passed", "failed", "error"]
    message: str = ""
    mismatches: tuple[Mismatch, ...] = ()
    story: tuple[Told, ...] = ()
    checked: int = 0
    reached: frozenset[Span] = frozenset()


class PolicyShelf:
    """The policies that a file of timelines names, each read once."""

    def __init__(self, file: TimelineFile) -> None:
        self._file = file
        self._read: dict[tuple[str, ...], Policy] = {}

    def policy(self, names: Sequence[str]) -> Policy:
        """Return the policy that these files of the system make with those of the user and of applications.

        Raises:
            BadPolicyError: it has mistakes, or a file can't be read.
        """
        key = tuple(names)
        if key not in self._read:
            self._read[key] = read_policy(list(self._files(key)), with_defaults=self._file.defaults)
        return self._read[key]

    def _files(self, names: Sequence[str]) -> Iterator[PolicyFile]:
        layers = {
            Layer.SYSTEM: names,
            Layer.USER: self._file.user_policy,
            Layer.APPLICATION: self._file.application_policy,
        }
        for layer, listed in layers.items():
            yield from (PolicyFile(path=self._file.path.parent / name, layer=layer) for name in listed)

    def policies(self) -> Iterator[Policy]:
        """Return those read so far."""
        return iter(self._read.values())


def run(test: Timeline, file: TimelineFile, shelf: PolicyShelf) -> Outcome:
    """Run one test, up to the first step at which something is not as expected.

    Raises:
        BadPolicyError: a policy that it names has mistakes, or can't be read.
    """
    return _Run(test, file, shelf).outcome()


class _Run:
    """One run of a test."""

    def __init__(self, test: Timeline, file: TimelineFile, shelf: PolicyShelf) -> None:
        self._test, self._file, self._shelf = test, file, shelf
        self._stage = Stage(shelf.policy(file.policy))
        self._told: list[Told] = []
        self._heard = 0
        self._checked = 0
        self._line = test.line

    def outcome(self) -> Outcome:
        """Go through the steps and return what became of it."""
        try:
            self._begin()
            for step, line in zip(self._test.steps, self._test.step_lines, strict=True):
                self._line = line
                mismatches = self._step(step)
                if mismatches:
                    return self._ended("failed", f"at {step.at}: {_summary(mismatches)}", mismatches)
        except (DescriptionError, EndlessError) as problem:
            self._listen()
            status: Literal["error", "failed"] = "error"
            if isinstance(problem, EndlessError):
                status = "failed"
            return self._ended(status, f"at {_time(self._stage.simulation.now)}: {problem}")
        return self._ended("passed", "")

    def _begin(self) -> None:
        stage, test = self._stage, self._test
        stage.add(test.links)
        stage.measure(test.facts, OF_THE_HOST)
        stage.open(test.sessions)
        stage.measure(test.facts, OF_SESSIONS)
        self._listen()

    def _step(self, step: Step) -> tuple[Mismatch, ...]:
        """Let time pass, do what the step says, and compare."""
        stage, at = self._stage, seconds(step.at)
        if at < stage.simulation.now - 1e-6:
            raise DescriptionError(
                f"the step at {step.at} comes after a later one; write steps in their order"
            )
        stage.given += stage.simulation.advance(at)
        self._listen()
        for text in _deeds(step):
            self._tell(at, text)
        self._do(step)
        self._listen()
        self._checked += expectations(step)
        return compare(step, stage)

    def _do(self, step: Step) -> None:
        """Do what a step says, in the order of the manual."""
        stage = self._stage
        if step.policy is not None:
            stage.given += stage.simulation.reload(self._shelf.policy(step.policy))
        stage.fail(several(step.fails), fails=True)
        stage.fail(several(step.works), fails=False)
        stage.add(step.add)
        stage.turn(several(step.up), up=True)
        stage.turn(several(step.down), up=False)
        stage.remove(several(step.remove))
        stage.close(several(step.close))
        stage.measure(step.facts, OF_THE_HOST)
        stage.open(step.open)
        stage.measure(step.facts, OF_SESSIONS)

    def _listen(self) -> None:
        """Tell the decisions that came since the last call."""
        for given in self._stage.given[self._heard :]:
            self._tell(given.at, _decision(given))
        self._heard = len(self._stage.given)

    def _tell(self, at: float, text: str) -> None:
        if len(self._told) < MAX_TOLD:
            self._told.append(Told(at=at, text=text))

    def _ended(
        self,
        status: Literal["passed", "failed", "error"],
        message: str,
        mismatches: tuple[Mismatch, ...] = (),
    ) -> Outcome:
        return Outcome(
            file=self._file.path,
            name=self._test.name,
            line=self._line if message else self._test.line,
            status=status,
            message=message,
            mismatches=mismatches,
            story=tuple(self._told),
            checked=self._checked,
            reached=frozenset(self._stage.simulation.reached),
        )


def _deeds(step: Step) -> Iterator[str]:
    """Say what a step does."""
    if step.note:
        yield f"# {step.note}"
    if step.policy is not None:
        yield f"policy {', '.join(step.policy)}"
    for verb in ("fails", "works", "up", "down", "remove", "close"):
        names = several(getattr(step, verb))
        if names:
            yield f"{verb} {', '.join(names)}"
    for verb, table in (("add", step.add), ("open", step.open)):
        if table:
            yield f"{verb} {', '.join(table)}"
    yield from _measurements(step.facts)


def _measurements(facts: Mapping[str, object]) -> Iterator[str]:
    for what, value in facts.items():
        yield f"{what} = {_as_written(getattr(value, 'value', value))}"


def _as_written(value: object) -> str:
    """Return the value of a fact as it would stand in a policy."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _decision(given: Given) -> str:
    decision = given.decision
    why = "; ".join(map(str, decision.reasons))
    failed = "" if given.done else ", which fails"
    return f"{decision.session}: {_deed(decision)}{failed}, because {why}"


def _deed(decision: Decision) -> str:
    match decision:
        case Move(to=to):
            return f"moves to {to.name}"
        case Resume(to=to):
            return f"resumes on {to.name}"
        case _:
            return "is suspended"


def _summary(mismatches: Sequence[Mismatch]) -> str:
    first = mismatches[0]
    more = f" (and {len(mismatches) - 1} more)" if len(mismatches) > 1 else ""
    what = "" if first.what == "expect" else f" {first.what}:"
    return f"{first.session}:{what} expected {first.expected}, found {first.actual}{more}"


def _time(seconds_: float) -> str:
    return f"{round(seconds_, 6):g}s"
