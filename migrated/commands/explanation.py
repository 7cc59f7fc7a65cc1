"""How an explanation is laid out for people: links, conditions, the winner and the argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrated.commands.measurements import value_text
from migrated.log import printable
from monitors.facts import STANDARD_FACTS
from policylang import DEFAULT_POLICY_FILE

if TYPE_CHECKING:
    from engine import Explanation, PointExplanation
    from engine.forks import ConditionRow
    from migrated.control.messages import ServerReport


def explanation_text(title: str, explanation: Explanation, now: float) -> str:
    """Return the explanation as lines of text.

    Args:
        title: Which session it is about, in one or more lines.
        explanation: What the engine says.
        now: The engine's time at which it was asked, in seconds.
    """
    rows = [("", "link", "address", "score", "by")]
    rows += [_row(point) for point in sorted(explanation.links, key=lambda p: (not p.eligible, -p.score))]
    parts = [*title.splitlines(), "", *_table(rows), ""]
    if told := _worth_telling(explanation):
        conditions = [("condition", "of", "measured", "holds", "by")]
        conditions += [_condition(row, now) for row in told]
        parts += [*_table(conditions), ""]
    argument = [f"  - {reason}" for reason in explanation.reasons]
    return "\n".join(map(printable, [*parts, _winner(explanation, now), *argument]))


def servers_text(servers: Sequence[ServerReport]) -> str:
    """Return how candidate servers are ranked, as lines of text."""
    rows = [("server", "score", "by")]
    for row in servers:
        score = str(row.score) if row.eligible else "never"
        rows.append((row.name, score, ", ".join(row.reasons)))
    return "\n".join(map(printable, _table(rows)))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows whose cells stand below one another; the last cell may be of any width."""
    *columns, _ = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])).rstrip()
        for row in rows
    ]


def _row(point: PointExplanation) -> tuple[str, str, str, str, str]:
    """Return mark, name, address, score and its statements; `*` marks the link in use."""
    score = str(point.score) if point.eligible else "-"
    places = ", ".join(str(reason.span) for reason in point.reasons if reason.span)
    by = (places or "no statement") if point.eligible else f"not eligible: {point.why_not}"
    if point.eligible and point.last_resort:
        by += ", a last resort"
    if places and not point.eligible:
        by += f" ({places})"
    return ("*" if point.current else "", point.name, point.address, score, by)


def _worth_telling(explanation: Explanation) -> list[ConditionRow]:
    """Return all conditions, but those of the shipped policy only where they make something of a link.

    They are in every policy, and all is well mostly: they would be half of what is printed.
    """
    shipped = [row for row in explanation.conditions if row.span.file == str(DEFAULT_POLICY_FILE)]
    links = {point.interface for point in explanation.links}
    active = [row for row in shipped if row.holds or row.due is not None]
    told = active if any(row.subject in links for row in active) else []
    return [row for row in explanation.conditions if row not in shipped or row in told]


def _condition(row: ConditionRow, now: float) -> tuple[str, str, str, str, str]:
    """Return what a `when` says, of what, what is measured, whether and until when it holds, and where."""
    holds = "yes" if row.holds else "no"
    if row.due is not None:
        holds += f", {'no' if row.holds else 'yes'} in {_seconds(row.due - now)}"
    return (row.text, row.subject, _value(row), holds, str(row.span))


def _value(row: ConditionRow) -> str:
    """Return what is measured, with a unit where the fact is one that every host knows."""
    fact = STANDARD_FACTS.get(row.text.partition(" ")[0])
    return value_text(row.value, fact.unit if fact else "")


def _winner(explanation: Explanation, now: float) -> str:
    winner = explanation.winner
    if winner is None:
        return "the session waits: no link is eligible, because"
    if winner.key == explanation.current and not explanation.suspended:
        return f"the session stays on {winner.name} ({winner.address}), because"
    when = "" if explanation.due is None else f" in {_seconds(explanation.due - now)}"
    verb = f"resumes{when} on" if explanation.suspended else f"moves{when} to"
    return f"the session {verb} {winner.name} ({winner.address}), because"


def _seconds(duration: float) -> str:
    return f"{max(0.0, round(duration, 3)):g} s"
