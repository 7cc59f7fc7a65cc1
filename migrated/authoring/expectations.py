"""What a step of a timeline expects, compared with what is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from typing import TypeVar

from engine import Reason, SessionDescription
from engine.wording import duration
from migrated.authoring.described import DescriptionError
from migrated.authoring.stage import Stage, seconds
from migrated.authoring.timeline_file import Step, several
from migrated.continuations.expiry import expire_s
from policylang.diagnostics import quote

T = TypeVar("T")

SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """Something is not as a step expects it.

    Attributes:
        session: Of which session.
        what: Which key of the step expects it.
        expected: What it says.
        actual: What is so.
        why: The reasons for what is so, with ``(file:line)`` where a statement is behind one.
        now: What is to be said of it at this moment, if ``why`` is about an earlier one.
    """

    session: str
    what: str
    expected: str
    actual: str
    why: tuple[str, ...]
    now: tuple[str, ...] = ()


def compare(step: Step, stage: Stage) -> tuple[Mismatch, ...]:
    """Return in what the stage is not as a step expects it.

    Raises:
        DescriptionError: the step expects something of a session or link that there is not.
    """
    return tuple(found for look in _LOOKS for found in look(step, stage))


def expectations(step: Step) -> int:
    """Return how many things a step expects."""
    tables: tuple[Sized, ...] = (
        step.expect,
        step.moves,
        step.adopted,
        step.expires,
        step.eager,
        step.notified,
        step.servers,
    )
    because = len(step.because) if isinstance(step.because, dict) else len(step.expect) * bool(step.because)
    return because + sum(len(table) for table in tables)


def _whereabouts(step: Step, stage: Stage) -> Iterator[Mismatch]:
    for session, expected in step.expect.items():
        actual = stage.whereabouts(session)
        if expected != SUSPENDED:
            stage.check_link(expected)
        if actual != expected:
            found = _mismatch("expect", session, expected, actual, reasons(session, stage))
            yield replace(found, now=_now(session, stage))


def _because(step: Step, stage: Stage) -> Iterator[Mismatch]:
    wanted = step.because
    if isinstance(wanted, str):
        if wanted and not step.expect:
            raise DescriptionError(
                "`because` needs an `expect`, or name the session: `because = { S = ... }`"
            )
        wanted = dict.fromkeys(step.expect, wanted) if wanted else {}
    for session, places in wanted.items():
        stage.check_session(session)
        why = reasons(session, stage)
        for place in several(places):
            if not any(_names(reason, place) for reason in why):
                lines = ", ".join(str(reason.span) for reason in why if reason.span) or "no statement"
                yield _mismatch("because", session, place, lines, why)


def _moves(step: Step, stage: Stage) -> Iterator[Mismatch]:
    for session, expected in step.moves.items():
        stage.check_session(session)
        actual = stage.simulation.places[session].moves
        if actual != expected:
            yield _mismatch("moves", session, str(expected), str(actual), reasons(session, stage))


def _adopted(step: Step, stage: Stage) -> Iterator[Mismatch]:
    def verdict(description: SessionDescription) -> tuple[str, Sequence[Reason]]:
        found = stage.simulation.engine.adopts(description)
        return _yes(found.adopt), found.reasons

    return _asked("adopted", _words(step.adopted, _yes), stage, verdict)


def _expires(step: Step, stage: Stage) -> Iterator[Mismatch]:
    def after(description: SessionDescription) -> tuple[str, Sequence[Reason]]:
        rules = stage.simulation.engine.expire_rules(description.id)
        why = [Reason(span=rule.span, text=_after(rule.after_s)) for rule in rules]
        return _after(expire_s(rules)), why

    expected = _words(step.expires, lambda text: _after(None if text == "never" else seconds(text)))
    return _asked("expires", expected, stage, after)


def _eager(step: Step, stage: Stage) -> Iterator[Mismatch]:
    engine = stage.simulation.engine
    return _asked("eager", _words(step.eager, _yes), stage, lambda d: (_yes(engine.eager(d.id)), ()))


def _notified(step: Step, stage: Stage) -> Iterator[Mismatch]:
    engine = stage.simulation.engine
    return _asked("notified", _words(step.notified, _yes), stage, lambda d: (_yes(engine.notifies(d.id)), ()))


def _servers(step: Step, stage: Stage) -> Iterator[Mismatch]:
    def best_first(description: SessionDescription) -> tuple[str, Sequence[Reason]]:
        candidates = stage.servers[description.id]
        if not candidates:
            raise DescriptionError(f"the session {quote(description.id)} names no `servers` to choose from")
        rows = stage.simulation.engine.servers(description.id, candidates)
        eligible = [row.name for row in rows if row.eligible]
        return ", ".join(eligible) or "none", [reason for row in rows for reason in row.reasons]

    return _asked(
        "servers", _words(step.servers, lambda names: ", ".join(names) or "none"), stage, best_first
    )


_LOOKS: tuple[Callable[[Step, Stage], Iterator[Mismatch]], ...] = (
    _whereabouts,
    _because,
    _moves,
    _adopted,
    _expires,
    _eager,
    _notified,
    _servers,
)


def reasons(session: str, stage: Stage) -> tuple[Reason, ...]:
    """Return why a session is where it is: by the decision that brought it there, else as things are now."""
    came = stage.simulation.places[session].came
    return came.decision.reasons if came else stage.simulation.explain(session).reasons


def _now(session: str, stage: Stage) -> tuple[str, ...]:
    """Return what is to be said of a session at this moment, if `reasons` are those of an earlier one."""
    simulation = stage.simulation
    came = simulation.places[session].came
    earlier = came is not None and came.at < simulation.now
    return tuple(map(str, simulation.explain(session).reasons)) if earlier else ()


def _asked(
    what: str,
    expected: Mapping[str, str],
    stage: Stage,
    ask: Callable[[SessionDescription], tuple[str, Sequence[Reason]]],
) -> Iterator[Mismatch]:
    """Compare the engine's answers about sessions with those expected."""
    for session, answer in expected.items():
        stage.check_session(session)
        actual, why = ask(stage.simulation.places[session].description)
        if actual != answer:
            yield _mismatch(what, session, answer, actual, why)


def _mismatch(what: str, session: str, expected: str, actual: str, why: Sequence[Reason]) -> Mismatch:
    return Mismatch(session=session, what=what, expected=expected, actual=actual, why=tuple(map(str, why)))


def _names(reason: Reason, place: str) -> bool:
    """Return whether a reason names this `file:line`; folders in front of the file may be left out."""
    return reason.span is not None and f"/{reason.span}".endswith(f"/{place}")


def _words(table: Mapping[str, T], word: Callable[[T], str]) -> dict[str, str]:
    return {session: word(value) for session, value in table.items()}


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _after(after_s: float | None) -> str:
    return "never" if after_s is None else f"after {duration(after_s)}"
