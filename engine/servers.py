"""Candidate servers for a session, ranked as the policy's `score-server` statements say."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from engine.scoring import Reason, Variant
from policylang.values import host_name


class ServerRow(Struct, frozen=True, kw_only=True):
    """A candidate, a name or an address as text; ``eligible`` unless a `never` rules it out."""

    name: str
    score: int
    eligible: bool
    reasons: tuple[Reason, ...]


def rank_servers(group: Variant, candidates: Iterable[str], current: str) -> tuple[ServerRow, ...]:
    """Return the candidates, the best first; on a tie ``current``, then the order in which they are given."""
    in_use = host_name(current)
    rows = [_row(group, name, current=host_name(name) == in_use) for name in candidates]
    rows.sort(key=lambda row: (not row.eligible, -row.score, host_name(row.name) != in_use))
    return tuple(rows)


def _row(group: Variant, name: str, *, current: bool) -> ServerRow:
    score = group.server_score(name, current=current)
    return ServerRow(name=name, score=score.value, eligible=score.never is None, reasons=score.reasons)
