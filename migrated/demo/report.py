"""What came of the demonstration, for people and for machines."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from migrated.demo.traffic import Delivery


class SceneResult(Struct, frozen=True, kw_only=True):
    """What came of one scene.

    ``outcome`` is the event that was expected and heard, empty if it was not; ``link`` where the session
    went. ``decided_ms`` is from the deed to that event, ``stopped_ms`` how long the program on the
    client stood still, and ``gap_ms`` the longest pause in what was received, absent in an outage.
    """

    title: str
    outcome: str
    link: str
    decided_ms: float | None
    stopped_ms: float | None
    gap_ms: float | None
    because: tuple[str, ...]


class Performance(Struct, frozen=True, kw_only=True):
    """All scenes; ``moves`` counts each time that the session changed its place, resuming included.

    ``usual_gap_ms`` is the longest pause in the data while nothing happened.
    """

    scenes: tuple[SceneResult, ...]
    moves: int
    suspended_s: float
    usual_gap_ms: float


class Report(Struct, frozen=True, kw_only=True):
    """The whole result. ``bytes`` were received; an ssh session carried as many in the other direction."""

    ok: bool
    traffic: str
    moves: int
    expected_moves: int
    bytes: int
    sha256_equal: bool
    exit_status: int | None
    gaps_ms: tuple[float, ...]
    largest_gap_ms: float | None
    usual_gap_ms: float
    suspended_s: float
    seconds: float
    scenes: tuple[SceneResult, ...]
    failures: tuple[str, ...]


def make_report(
    traffic: str, performance: Performance, delivery: Delivery, *, expected: int, seconds: float
) -> Report:
    """Put everything together and judge it."""
    failures = (*_scene_failures(performance, expected), *_delivery_failures(delivery))
    gaps = tuple(scene.gap_ms for scene in performance.scenes if scene.gap_ms is not None)
    return Report(
        ok=not failures,
        traffic=traffic,
        moves=performance.moves,
        expected_moves=expected,
        bytes=delivery.bytes,
        sha256_equal=delivery.sha256_equal,
        exit_status=delivery.exit_status,
        gaps_ms=gaps,
        largest_gap_ms=max(gaps, default=None),
        usual_gap_ms=performance.usual_gap_ms,
        suspended_s=performance.suspended_s,
        seconds=round(seconds, 1),
        scenes=performance.scenes,
        failures=failures,
    )


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def summary(report: Report) -> tuple[tuple[str, str], ...]:
    """Return the rows of the table that ends the demonstration: what, and how much."""
    largest = "none measured" if report.largest_gap_ms is None else f"{report.largest_gap_ms:.1f} ms"
    return (
        ("data received", f"{report.bytes / 1e6:.1f} MB over one {report.traffic} connection"),
        ("moves made", f"{report.moves} (at least {report.expected_moves} expected)"),
        ("largest gap", f"{largest} ({report.usual_gap_ms:.1f} ms while nothing happened)"),
        ("without any link", f"{report.suspended_s:.1f} s"),
        ("SHA-256", "equal" if report.sha256_equal else "NOT EQUAL"),
    )


def _scene_failures(performance: Performance, expected: int) -> list[str]:
    missed = [f"nothing came of it that {scene.title}" for scene in performance.scenes if not scene.outcome]
    if performance.moves < expected:
        missed.append(f"{performance.moves} moves were made, {expected} were expected")
    return missed


def _delivery_failures(delivery: Delivery) -> list[str]:
    failures = []
    if not delivery.sha256_equal:
        failures.append("what was received is not what was sent")
    if delivery.exit_status is None:
        failures.append("the program did not come to its end")
    elif delivery.exit_status != 0:
        failures.append(f"the program ended with status {delivery.exit_status}: {delivery.complaint}")
    return failures
