"""What is said over the control socket of monitors: how they do, what they measure, what they reported.

Like all of `messages`, which reads and writes them; times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MAX_FACTS_TOLD: Final = 10_000
"""Values in one answer; what is left out of it is counted. About 2 MB."""


class Facts(Struct, frozen=True, kw_only=True, tag="facts"):
    """Ask for what is measured of all that the asker may see: of the facts named, or of every one."""

    names: tuple[str, ...] = ()


class Monitors(Struct, frozen=True, kw_only=True, tag="monitors"):
    """Ask how the monitors do."""


class Events(Struct, frozen=True, kw_only=True, tag="events"):
    """Ask for the latest ``count`` events of the monitors named, or of every one.

    The answer is an `EventList`. With ``follow`` it is an `EventReport` for each, and then for each event
    that is reported from now on.
    """

    count: int
    monitors: tuple[str, ...] = ()
    follow: bool = False


class MonitorReport(Struct, frozen=True, kw_only=True):
    """A monitor, or a plugin that could not be used.

    Attributes:
        name: What it is called, as in ``[monitors.NAME]``.
        state: What it does: a value of `monitors.supervisor.MonitorState`, or `FAILED_TO_LOAD`.
        troubled: Whether that is one to look into.
        events: How many it reported.
        failures: How often it failed.
        last_error: Of the latest failure; empty if there was none.
        last_error_at: When that was.
        kind: Who brought it: built-in, plugin or file.
        origin: The distribution or file that it comes from.
        detail: Why it is in this state.
        facts: The names of those that it measures.
        restarts: How often it was started again.
        last_event: The latest event that it reported, unless it was about a session of another user.
        last_event_at: When that was.
        cost_s: Processor time that it took so far, in seconds.
        longest_step_s: For how long it held its loop up at most, in seconds.
        running_s: How long it has been running without a failure, in seconds.
    """

    name: str
    state: str
    events: int
    failures: int
    last_error: str = ""
    troubled: bool = False
    last_error_at: float | None = None
    kind: str = ""
    origin: str = ""
    detail: str = ""
    facts: tuple[str, ...] = ()
    restarts: int = 0
    last_event: str = ""
    last_event_at: float | None = None
    cost_s: float = 0.0
    longest_step_s: float = 0.0
    running_s: float = 0.0


class MonitorList(Struct, frozen=True, kw_only=True, tag="monitor-list"):
    """The monitors.

    Attributes:
        monitors: One each, in the order in which they were loaded, and the plugins that could not be used.
        uptime_s: How long the daemon has been running, in seconds.
        waiting: Events that are not yet taken in.
        merged: Events that gave way to a later one about the same, for want of room.
        refused: Events that found no room, and are reported again.
    """

    monitors: tuple[MonitorReport, ...]
    uptime_s: float
    waiting: int = 0
    merged: int = 0
    refused: int = 0


class FactReport(Struct, frozen=True, kw_only=True):
    """The value of a fact, in the fact's own ``unit``, and what it is about.

    ``interface`` alone is a link, with ``peer`` the path to it; ``session`` alone is a session, with
    ``connection`` one of its connections; nothing is the host. ``measured_at`` is ``None`` where nobody
    measured it, ``expires_at`` where it holds until the next value. ``value`` is never ``None`` in an answer;
    `migrate monitors watch` says so of one that is known no longer.
    """

    fact: str
    value: float | bool | str | None
    unit: str = ""
    interface: str = ""
    peer: str = ""
    session: str = ""
    connection: str = ""
    measured_at: float | None = None
    expires_at: float | None = None


class FactList(Struct, frozen=True, kw_only=True, tag="fact-list"):
    """What is measured, by fact; ``omitted`` values about sessions found no place in the answer."""

    facts: tuple[FactReport, ...]
    omitted: int = 0
