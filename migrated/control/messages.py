"""What goes over the control socket: one JSON object per line, told apart by its ``type``.

A client sends requests; each gets one answer, in order. After `Watch`, and after `Events` that is to
follow, the answers are `EventReport` objects until the client closes the connection. Times are seconds since
the epoch. What is said of monitors stands in `observations`, and of continuations in `continuations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from migrated.control.continuations import (
    ContinuationList,
    ContinuationReport,
    Continuations,
    ExpireContinuation,
    ShowContinuation,
)
from migrated.control.observations import Events, FactList, Facts, MonitorList, MonitorReport, Monitors
from sessionlayer.decoding import decoded

if TYPE_CHECKING:
    from engine.explain import Explanation
    from engine.servers import ServerRow

MAX_REQUEST_BYTES: Final = 4096
"""Longest request line; what is longer is refused and the connection closed."""

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Longest answer line that a client reads: about 200,000 sessions."""

MISSED: Final = "missed"
"""The name of the event that says how many others (its field ``count``) a watcher missed."""


class Status(Struct, frozen=True, kw_only=True, tag="status"):
    """Ask how the daemon is."""


class Sessions(Struct, frozen=True, kw_only=True, tag="sessions"):
    """Ask for the sessions that the asker may see."""


class Links(Struct, frozen=True, kw_only=True, tag="links"):
    """Ask for the attachment points and their scores."""


class Move(Struct, frozen=True, kw_only=True, tag="move"):
    """Ask to move a session, named by its id or the beginning of it, to a link."""

    session: str
    link: str


class KeepAlive(Struct, frozen=True, kw_only=True, tag="keep-alive"):
    """Say how a session, named as in `Move`, is; in its program's place."""

    session: str
    healthy: bool
    reason: str = ""


class ForgetPeer(Struct, tag="forget-peer"):
    """Ask to forget the host key that was trusted on first use for an address."""

    address: str


class PolicyShow(Struct, frozen=True, kw_only=True, tag="policy-show"):
    """Ask for the policy in force."""


class Watch(Struct, frozen=True, kw_only=True, tag="watch"):
    """Ask for every event from now on."""


class Explain(Struct, frozen=True, kw_only=True, tag="explain"):
    """Ask why a session, named by its id or the beginning of it, is where it is."""

    session: str


class Servers(Struct, frozen=True, kw_only=True, tag="servers"):
    """Ask how candidate servers, names or addresses as text, are ranked for a session.

    The session is a live one, named by its id or the beginning of it, or one of the asker's that is to lead
    to ``destinations`` (``HOST:PORT`` or ``unix:/PATH``). ``current`` is the candidate in use.
    """

    candidates: tuple[str, ...]
    destinations: tuple[str, ...] = ()
    session: str = ""
    current: str = ""


Request = (
    Status
    | Sessions
    | Links
    | Move
    | KeepAlive
    | PolicyShow
    | Watch
    | Explain
    | ForgetPeer
    | Continuations
    | ShowContinuation
    | ExpireContinuation
    | Servers
    | Facts
    | Monitors
    | Events
)


class PeerReport(Struct, frozen=True, kw_only=True):
    """Another daemon: ``state`` is that of the association, ``silent`` that nothing was heard for a while.

    ``dropped`` counts datagrams in its name that were not authentic, repeated or cut short, ``malformed``
    authentic ones that made no sense. Both are 0 where an older daemon does not say.
    """

    name: str
    address: str
    fingerprint: str
    state: str
    silent: bool
    dropped: int = 0
    malformed: int = 0


class StatusReport(Struct, frozen=True, kw_only=True, tag="status-report"):
    """How the daemon is.

    ``host_key`` is the public key in base64, for another host's ``pinned_keys``; ``fingerprint`` is its
    name for people. ``sessions`` counts all sessions; ``last_error`` says why the policy on disk is not
    in force, and is empty if it is. ``no_kernel`` says why no connections are moved; the port is 0 then.
    """

    version: str
    pid: int
    uptime_s: float
    host_key: str
    fingerprint: str
    control_port: int
    peers: tuple[PeerReport, ...]
    monitors: tuple[MonitorReport, ...]
    sessions: int
    policy_generation: int
    last_error: str = ""
    no_kernel: str = ""


class SessionReport(Struct, frozen=True, kw_only=True):
    """A session: ``local`` and ``remote`` are address and port now, ``state`` one of live, moving, suspended.

    ``since`` is when it came into this state or to this link, ``last_reason`` why.
    """

    id: str
    peer: str
    program: str
    pid: int
    user: str
    link: str
    local: str
    remote: str
    state: str
    since: float
    moves: int
    last_reason: str = ""


class SessionList(Struct, frozen=True, kw_only=True, tag="session-list"):
    """The sessions that the asker may see."""

    sessions: tuple[SessionReport, ...]


class LinkReport(Struct, frozen=True, kw_only=True):
    """An attachment point: ``why`` says why it is not usable, ``statement`` what gave it its score.

    ``ruled_out`` is true where a `never` counts and the score does not.
    """

    name: str
    interface: str
    address: str
    usable: bool
    why: str
    score: int
    statement: str
    ruled_out: bool = False


class LinkList(Struct, frozen=True, kw_only=True, tag="link-list"):
    """All attachment points."""

    links: tuple[LinkReport, ...]


class PolicyText(Struct, frozen=True, kw_only=True):
    """A policy file as it was read.

    ``layer`` says whose policy it is: default, system, user or application. ``included_by`` is the place of
    the `include` that named it, as ``file:line``; empty for a file that the configuration names.
    """

    file: str
    text: str
    layer: str = "system"
    included_by: str = ""


class PolicyReport(Struct, frozen=True, kw_only=True, tag="policy-report"):
    """The policy in force: its files in the order in which they count, the shipped defaults first.

    ``last_error`` says why the files on disk are not in force, and is empty if they are; ``last_error_at`` is
    when that was found.
    """

    files: tuple[PolicyText, ...]
    generation: int
    loaded_at: float
    last_error: str = ""
    last_error_at: float | None = None


class ExplanationReport(Struct, frozen=True, kw_only=True, tag="explanation"):
    """Why a session is where it is. The explanation travels as it is encoded: few clients need the engine."""

    explanation: msgspec.Raw

    @classmethod
    def of(cls, explanation: Explanation) -> ExplanationReport:
        """Wrap an explanation of the engine."""
        return cls(explanation=msgspec.Raw(msgspec.json.encode(explanation)))

    def read(self) -> Explanation:
        """Return the explanation.

        Raises:
            msgspec.DecodeError: it is not one.
        """
        from engine.explain import Explanation

        return msgspec.json.decode(self.explanation, type=Explanation)


class ServerReport(Struct, frozen=True, kw_only=True):
    """A candidate server: its score, whether it may be used at all, and the statements that say so."""

    name: str
    score: int
    eligible: bool
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, row: ServerRow) -> ServerReport:
        """Return what the engine says of a candidate, for people."""
        reasons = tuple(map(str, row.reasons))
        return cls(name=row.name, score=row.score, eligible=row.eligible, reasons=reasons)


class ServerList(Struct, frozen=True, kw_only=True, tag="server-list"):
    """The candidate servers, the best first."""

    servers: tuple[ServerReport, ...]


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """What was asked for was done."""

    message: str


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """What was asked for was not done: ``reason`` is for people, ``code`` for programs."""

    reason: str
    code: str


class EventReport(Struct, frozen=True, kw_only=True, tag="event"):
    """Something happened; ``fields`` holds what JSON can."""

    time: float
    event: str
    fields: dict[str, Any]


class EventList(Struct, frozen=True, kw_only=True, tag="event-list"):
    """What monitors reported, the latest at the end."""

    events: tuple[EventReport, ...]


Answer = (
    StatusReport
    | SessionList
    | LinkList
    | PolicyReport
    | ExplanationReport
    | ContinuationList
    | ContinuationReport
    | ServerList
    | FactList
    | MonitorList
    | EventList
    | Done
    | Refused
    | EventReport
)

_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_answers: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)


def encode(message: Request | Answer) -> bytes:
    """Return a message as a line, with its end."""
    return msgspec.json.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Read a request.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decoded(_requests, line)


def decode_answer(line: bytes) -> Answer:
    """Read an answer.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decoded(_answers, line)
