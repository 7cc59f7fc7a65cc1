"""The lines of an event log: JSON objects that say everything that a decision can depend on.

Every line has its ``type``, the version of the format, and two times: the wall clock's for
people, and the engine's, which never goes back, for the decisions. A log begins with a
snapshot: what is known already, written as if it had just been reported, so that each
file of a rotated log can be replayed alone. ``docs/recording.md`` describes the lines.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, Literal

import msgspec
from msgspec import Struct

from engine.attachment import PointKey
from engine.decision import Decision, Move, Resume, Stay
from engine.session import SessionDescription
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState
from policylang.ast import Layer, Span
from policylang.diagnostics import quote
from sessionlayer.decoding import decoded

VERSION: Final[Literal[1]] = 1
"""The version of the format: of the first, and so far the only one."""

LAST_WALL_S: Final = 253_370_764_800.0
"""Latest time of a line, in seconds since the epoch: the year 9998, which all time zones can show."""

LAST_CLOCK_S: Final = 1e12
"""Largest time on the engine's clock, in seconds, before or after its start: some 30,000 years."""

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""Longest line that is read: a policy of many files stands in one line, everything else is short."""


class Line(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every line has.

    Attributes:
        wall: When it happened, in seconds since the epoch.
        clock: The same on the engine's clock, in seconds from an arbitrary start.
        v: The version of the format.
    """

    wall: float
    clock: float
    v: Literal[1] = VERSION


class SnapshotBegan(Line, frozen=True, kw_only=True, tag="snapshot"):
    """What is known follows, up to `SnapshotEnded`.

    Attributes:
        cause: Why: the daemon ``started`` and knows nothing yet but this, or the log was ``rotated``.
        program: The version of the program.
    """

    cause: Literal["started", "rotated"]
    program: str = ""


class SnapshotEnded(Line, frozen=True, kw_only=True, tag="snapshot-end"):
    """From here on lines say what happens."""


class LinkSeen(Line, frozen=True, kw_only=True, tag="link"):
    """An interface exists and is in this state."""

    event: LinkState


class LinkLost(Line, frozen=True, kw_only=True, tag="link-gone"):
    """An interface was deleted."""

    event: LinkGone


class AddressSeen(Line, frozen=True, kw_only=True, tag="address"):
    """A local address is configured."""

    event: AddressPresent


class AddressLost(Line, frozen=True, kw_only=True, tag="address-gone"):
    """A local address was removed."""

    event: AddressGone


class FactSeen(Line, frozen=True, kw_only=True, tag="fact"):
    """A fact was measured, or is known no longer; ``measured_at`` is a time on the engine's clock."""

    event: FactMeasured


class PolicyText(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A policy file as it was read.

    Attributes:
        file: Its name in reasons.
        layer: Whose policy it is.
        text: What it says.
        included_by: Where the `include` stands; ``None`` for a file that was asked for.
    """

    file: str
    layer: Layer
    text: str
    included_by: Span | None = None


class PolicyLoaded(Line, frozen=True, kw_only=True, tag="policy"):
    """A policy was put in force.

    Attributes:
        generation: How many were before it.
        files: Its files in the order in which they were read, the shipped defaults among them.
    """

    generation: int
    files: tuple[PolicyText, ...]


class SessionAdded(Line, frozen=True, kw_only=True, tag="session"):
    """A session is known from here on, at ``attachment`` (interface, address)."""

    description: SessionDescription
    attachment: PointKey
    suspended: bool = False


class SessionRemoved(Line, frozen=True, kw_only=True, tag="session-gone"):
    """A session has ended."""

    session: str
    reason: str = ""


class SessionMoved(Line, frozen=True, kw_only=True, tag="moved"):
    """A session is live at ``attachment``: moved, resumed, or driven there by its peer or by hand."""

    session: str
    attachment: PointKey


class SessionSuspended(Line, frozen=True, kw_only=True, tag="suspended"):
    """A session is suspended where it was."""

    session: str


class MoveFailed(Line, frozen=True, kw_only=True, tag="failed"):
    """A session could not be moved to ``attachment``."""

    session: str
    attachment: PointKey
    reason: str = ""


class DecisionGiven(Line, frozen=True, kw_only=True, tag="decision"):
    """The engine gave a decision.

    Attributes:
        action: What is to be done.
        session: With which session.
        to: The point (interface, address) to move or resume to; ``None`` for a suspension.
        name: What policies call that point.
        urgent: Whether packets can't leave by the point in use.
        reasons: Why, each with ``(file:line)`` where a statement is behind it.
    """

    action: Literal["move", "suspend", "resume"]
    session: str
    to: PointKey | None = None
    name: str = ""
    urgent: bool = False
    reasons: tuple[str, ...] = ()


EventEntry = LinkSeen | LinkLost | AddressSeen | AddressLost | FactSeen
ReportEntry = SessionAdded | SessionRemoved | SessionMoved | SessionSuspended | MoveFailed
Entry = SnapshotBegan | SnapshotEnded | EventEntry | PolicyLoaded | ReportEntry | DecisionGiven

_decoder: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


class BadLineError(ValueError):
    """A line of a log is not one that this program can read; the message says why."""


class _Header(Struct):
    """What tells a line of another version from one that is no line at all."""

    v: int


_headers: Final[msgspec.json.Decoder[_Header]] = msgspec.json.Decoder(_Header)


def event_entry(event: Event, *, wall: float, clock: float) -> EventEntry:
    """Return the entry for what a monitor reports, at these two times in seconds."""
    match event:
        case LinkState():
            return LinkSeen(wall=wall, clock=clock, event=event)
        case LinkGone():
            return LinkLost(wall=wall, clock=clock, event=event)
        case AddressPresent():
            return AddressSeen(wall=wall, clock=clock, event=event)
        case AddressGone():
            return AddressLost(wall=wall, clock=clock, event=event)
        case FactMeasured():
            return FactSeen(wall=wall, clock=clock, event=event)


def decision_entry(decision: Decision, *, wall: float, clock: float) -> DecisionGiven:
    """Return the entry for a decision that the engine gave, at these two times in seconds.

    Raises:
        ValueError: it says that the session stays, which the engine never gives.
    """
    if isinstance(decision, Stay):
        raise ValueError("to stay is no decision that is given")
    to = decision.to if isinstance(decision, Move | Resume) else None
    return DecisionGiven(
        wall=wall,
        clock=clock,
        action=_action(decision),
        session=decision.session,
        to=to.key if to else None,
        name=to.name if to else "",
        urgent=isinstance(decision, Move) and decision.urgent,
        reasons=tuple(map(str, decision.reasons)),
    )


def encode_line(entry: Entry) -> bytes:
    """Return an entry as a line, with its end."""
    return msgspec.json.encode(entry) + b"\n"


def decode_line(line: bytes) -> Entry:
    """Read a line, with or without its end.

    Logs are cut off when a host loses power, edited by hand, and written by other versions.

    Raises:
        BadLineError: it is not a line of this version.
    """
    if len(line) > MAX_LINE_BYTES:
        raise BadLineError(f"the line is longer than {MAX_LINE_BYTES // 1024**2} MiB")
    try:
        entry = decoded(_decoder, line)
    except msgspec.DecodeError as error:
        raise BadLineError(_why(line, error)) from None
    measured_at = entry.event.measured_at if isinstance(entry, FactSeen) else None
    latest = max(abs(entry.clock), abs(measured_at or 0.0))
    if not 0 <= entry.wall <= LAST_WALL_S or latest > LAST_CLOCK_S:
        raise BadLineError("the line has a time at which nobody can have written it")
    address = _address(entry)
    if address is not None and not _is_address(address):
        raise BadLineError(f"the line is not as it should be: {quote(address)} is not an IP address")
    return entry


def _address(entry: Entry) -> str | None:
    """Return the local address that an entry names, if it does."""
    match entry:
        case SessionAdded() | SessionMoved() | MoveFailed():
            return entry.attachment[1]
        case AddressSeen() | AddressLost():
            return entry.event.address
    return None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _action(decision: Decision) -> Literal["move", "suspend", "resume"]:
    if isinstance(decision, Move):
        return "move"
    return "resume" if isinstance(decision, Resume) else "suspend"


def _why(line: bytes, error: msgspec.DecodeError) -> str:
    """Say what is wrong with a line that can't be read."""
    try:
        version = decoded(_headers, line).v
    except msgspec.ValidationError:
        return f"this is no line of an event log: {error}"
    except msgspec.DecodeError:
        start = quote(line[:40].decode("utf-8", "replace").strip())
        return f"{start} is not JSON; was the line cut off?" if line.strip() else "the line is empty"
    if version != VERSION:
        return f"the line is of version {version}; this program reads version {VERSION}"
    return f"the line is not as it should be: {error}"
