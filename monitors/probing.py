"""When to probe which path, and what the answers say of it. Time is a parameter, in seconds.

Rules:

* At rest a path in use is probed once a second, another one every five. While something is *undecided* with
  a peer (a probe is overdue, or some of the latest were lost and others not) all paths to it are probed every
  0.15 s. What is decided, a good link or a dead one, needs no hurry, nor does a path that is the only one.
* A probe is overdue after three round trips, 0.2 s at least and 1 s at most. Overdue is not lost: it is
  *lost* if the peer's daemon answered another probe that was sent then or up to `PROOF_S` later, through
  whatever link. A daemon that answers nowhere is dead, stopped or out of reach: nothing is learnt of links.
* An answer that comes late counts all the same, so that a link whose queue has just filled is not taken for a
  dead one.
* A path that fails again and again is known for it, however well it is in between: a queue that overflows as
  soon as sessions use the link, or a link that loses half of everything.
* Of a path that never answered nothing is said: it was not evaluated yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import count
from math import inf
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from monitors.events import FactMeasured
from monitors.facts import LOSS, OUTAGES, RTT
from monitors.surroundings import WatchedPath

WINDOW: Final = 10
"""So many of the latest probes count for ``loss``."""

OVERDUE_MIN_S: Final = 0.2
OVERDUE_MAX_S: Final = 1.0
_OVERDUE_RTTS: Final = 3

ANSWER_S: Final = 2.0
"""Seconds after which an answer is not waited for any more."""

PROOF_S: Final = 0.5
"""An answer shows that the peer's daemon was at work for so many seconds before its probe was sent."""

SILENT_S: Final = 3.0
"""Seconds after which there is no hurry any more with a peer that answers nothing."""

PROBES_AT_ONCE: Final = 256
"""Probes whose answers are awaited; while there are so many no other is sent."""

CALM_PER_S: Final = 50
"""Probes a second at rest: with more paths than that in use, each has its turn less often."""

OUTAGE: Final = 8
"""So many lost ones of the window are an outage of the link, which lasts until at most `WELL` are lost."""

WELL: Final = 1

OUTAGES_S: Final = 600.0
"""For so long an outage counts for ``outages``."""

OUTAGES_MAX: Final = 16
"""No more outages than that are counted."""

RTT_SHARE: Final = 0.25
"""The weight of a new round trip in the smoothed one; RFC 6298 has 0.125, for far more samples."""

RTT_STEP_S: Final = 0.001
RTT_STEP: Final = 0.1
"""``rtt`` is told when it differs by more than this part of what was told, and by more than `RTT_STEP_S`."""

READINGS: Final = 3
"""A word is good for so many of the longest pauses between two probes, and is repeated after half of that."""

_GOLDEN: Final = 0.618034  # multiples of it, without their whole part, lie evenly however many there are
_SHORTEST_S: Final = 0.01
_NOTHING: Final = ((LOSS.name, None), (OUTAGES.name, None), (RTT.name, None))

Key = tuple[str, str]
"""A link and the address of a peer: what a fact about a path is about."""


class Settings(Struct, frozen=True):
    """What ``[monitors.probe]`` may say: the seconds between two probes of a path.

    ``interval`` is that of a path in use, ``idle_interval`` that of another one, and ``quick_interval`` that
    of all paths to a peer while something is undecided.
    """

    interval: Annotated[float, Meta(ge=0.2, le=60)] = 1.0
    idle_interval: Annotated[float, Meta(ge=0.2, le=3600)] = 5.0
    quick_interval: Annotated[float, Meta(ge=0.05, le=1)] = 0.15


class Probe(NamedTuple):
    """A probe to be sent: its number, and over which path."""

    number: int
    path: WatchedPath


class _Said(NamedTuple):
    """A value that was reported, and when."""

    value: float
    at: float


class _Open:
    """A probe without an answer; ``proven`` when the peer was at work at that time."""

    __slots__ = ("proven", "sent_at")

    def __init__(self, sent_at: float) -> None:
        self.sent_at = sent_at
        self.proven = False


class _Path:
    """What is known of a path.

    ``window`` says of the latest probes, by number, which were answered. ``outages`` has the times at which
    the latest outages began, ``out`` whether there is one now.
    """

    __slots__ = (
        "first_at",
        "known_at",
        "lost",
        "open",
        "out",
        "outages",
        "rtt_s",
        "sent_at",
        "watched",
        "window",
    )

    def __init__(self, watched: WatchedPath, first_at: float) -> None:
        self.watched = watched
        self.first_at = first_at
        self.sent_at: float | None = None
        self.known_at = -inf
        self.open: dict[int, _Open] = {}
        self.window: dict[int, bool] = {}
        self.lost = 0
        self.out = False
        self.outages: deque[float] = deque(maxlen=OUTAGES_MAX)
        self.rtt_s: float | None = None

    @property
    def key(self) -> Key:
        """Return what facts about it are about."""
        return (self.watched.interface, self.watched.peer)

    @property
    def patience_s(self) -> float:
        """Return after how many seconds a probe is overdue."""
        if self.rtt_s is None:
            return OVERDUE_MAX_S
        return min(max(_OVERDUE_RTTS * self.rtt_s, OVERDUE_MIN_S), OVERDUE_MAX_S)

    def due_at(self, pause_s: float) -> float:
        """Return when the next probe is to be sent."""
        return self.first_at if self.sent_at is None else self.sent_at + pause_s

    def undecided(self, now: float) -> bool:
        """Return whether nobody can say yet if this path is good or bad."""
        if self.rtt_s is None or self.lost == WINDOW:
            return False
        return self.lost > 0 or any(self._is_overdue(probe, now) for probe in self.open.values())

    def note(self, number: int, now: float, *, answered: bool) -> None:
        """Take in what became of a probe."""
        self.open.pop(number, None)
        self.window[number] = answered
        if len(self.window) > WINDOW:
            del self.window[min(self.window)]
        self.lost = list(self.window.values()).count(False)
        self.known_at = now
        if self.lost >= OUTAGE and not self.out:
            self.outages.append(now)
        self.out = self.lost >= OUTAGE or (self.out and self.lost > WELL)

    def judge(self, now: float) -> bool:
        """Give up what is overdue and proven, and return whether there was any such probe."""
        found = [n for n, probe in self.open.items() if probe.proven and self._is_overdue(probe, now)]
        for number in found:
            self.note(number, now, answered=False)
        return bool(found)

    def next_overdue(self, now: float) -> float:
        """Return when the next probe is overdue that is not yet; ``inf`` if there is none."""
        times = (probe.sent_at + self.patience_s for probe in self.open.values())
        return min((at for at in times if at > now), default=inf)

    def measure(self, rtt_s: float, now: float) -> None:
        """Take in a round trip."""
        before = rtt_s if self.rtt_s is None else self.rtt_s
        self.rtt_s = before + RTT_SHARE * (rtt_s - before)
        self.known_at = now

    def values(self, now: float) -> tuple[tuple[str, float | None], ...]:
        """Return what is known of each fact; nothing before the first answer."""
        if self.rtt_s is None:
            return _NOTHING
        while self.outages and self.outages[0] + OUTAGES_S <= now:
            self.outages.popleft()
        loss, outages = 100.0 * self.lost / WINDOW, float(len(self.outages))
        return (LOSS.name, loss), (OUTAGES.name, outages), (RTT.name, self.rtt_s)

    def _is_overdue(self, probe: _Open, now: float) -> bool:
        return probe.sent_at + self.patience_s <= now


class _Peer:
    """The paths to one peer, and when there is something to do about them.

    ``asked_at`` is when the first probe since the peer's last answer was sent.
    """

    __slots__ = ("asked_at", "due_at", "paths")

    def __init__(self) -> None:
        self.paths: list[_Path] = []
        self.asked_at: float | None = None
        self.due_at = -inf

    def is_silent(self, now: float) -> bool:
        """Return whether it has answered nothing for a while."""
        return self.asked_at is not None and now - self.asked_at >= SILENT_S

    def in_doubt(self, now: float) -> bool:
        """Return whether there is something to find out soon."""
        return not self.is_silent(now) and any(path.undecided(now) for path in self.paths)

    def prove(self, sent_at: float) -> None:
        """Take in that the peer answered a probe that was sent then."""
        self.asked_at = None
        for path in self.paths:
            for probe in path.open.values():
                if sent_at - PROOF_S <= probe.sent_at <= sent_at:
                    probe.proven = True


class Prober:
    """All paths, the probes under way, and what was said."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slower = 1.0
        self._paths: dict[Key, _Path] = {}
        self._peers: dict[str, _Peer] = {}
        self._sent: dict[int, tuple[_Path, float]] = {}
        self._numbers = count(1)
        self._places = count()
        self._said: dict[Key, dict[str, _Said]] = {}
        self._changed: set[Key] = set()

    def watch(self, watched: Iterable[WatchedPath], now: float) -> None:
        """Probe these paths from now on and no others; of several addresses on one link the first.

        Args:
            watched: those in use come first.
            now: the time.
        """
        before, self._paths = self._paths, {}
        for one in watched:
            key = (one.interface, one.peer)
            if key not in self._paths:
                self._paths[key] = self._path(before.get(key), one, now)
        self._changed |= before.keys() | self._paths.keys()
        self._meet(now)

    def advance(self, now: float) -> list[Probe]:
        """Return the probes to be sent now; they count as sent."""
        due = [peer for peer in self._peers.values() if peer.due_at <= now]
        return [probe for peer in due for probe in self._step(peer, now)]

    def next_deadline(self) -> float | None:
        """Return when there is something to do if no answer comes; ``None`` if there are no paths."""
        return min((peer.due_at for peer in self._peers.values()), default=None)

    def answered(self, number: int, rtt_s: float, now: float) -> None:
        """Take in the answer to a probe."""
        path, sent_at = self._sent.pop(number)
        if self._paths.get(path.key) is not path:
            return
        peer = self._peers[path.watched.peer]
        peer.prove(sent_at)
        peer.due_at = now
        path.measure(rtt_s, now)
        if number in path.open or number in path.window:
            path.note(number, now, answered=True)
        self._changed.add(path.key)

    def unanswered(self, number: int) -> None:
        """Take in that no answer to a probe came, nor will."""
        path, _ = self._sent.pop(number)
        path.open.pop(number, None)

    def news(self, now: float) -> Generator[FactMeasured, None, None]:
        """Yield what is to be reported; an event counts as reported when the caller comes back."""
        for key in sorted(self._changed):
            path, said = self._paths.get(key), self._said.setdefault(key, {})
            for fact, value in path.values(now) if path is not None else _NOTHING:
                old = said.get(fact)
                if value is None and old is not None:
                    yield _measured(fact, key, None, None)
                    del said[fact]
                elif value is not None and path is not None and self._is_news(fact, old, value, path):
                    yield _measured(fact, key, value, self._lifetime_s)
                    said[fact] = _Said(value, now)
            if not said:
                del self._said[key]
            self._changed.discard(key)

    def _path(self, before: _Path | None, watched: WatchedPath, now: float) -> _Path:
        """Return a path as it was if its address is the same; the first probes of new ones are spread."""
        if before is not None and before.watched.local_address == watched.local_address:
            before.watched = watched
            return before
        return _Path(watched, now + next(self._places) * _GOLDEN % 1 * self._settings.interval)

    def _meet(self, now: float) -> None:
        """Put the paths to their peers."""
        peers: dict[str, _Peer] = {}
        for path in self._paths.values():
            name = path.watched.peer
            if name not in peers:
                peers[name] = self._peers.get(name) or _Peer()
                peers[name].paths, peers[name].due_at = [], now
            peers[name].paths.append(path)
        self._peers = peers
        self._slower = 1.0
        pauses = (self._calm_s(path, peer, now) for peer in peers.values() for path in peer.paths)
        self._slower = max(1.0, sum(1 / pause for pause in pauses) / CALM_PER_S)

    def _step(self, peer: _Peer, now: float) -> Iterator[Probe]:
        for path in peer.paths:
            if path.judge(now):
                self._changed.add(path.key)
        in_doubt, dues = peer.in_doubt(now), list[float]()
        for path in peer.paths:
            pause_s = self._settings.quick_interval if in_doubt else self._calm_s(path, peer, now)
            if path.due_at(pause_s) <= now and len(self._sent) < PROBES_AT_ONCE:
                yield self._send(peer, path, now)
            dues += (max(path.due_at(pause_s), now + _SHORTEST_S), path.next_overdue(now))
        peer.due_at = min(dues)

    def _send(self, peer: _Peer, path: _Path, now: float) -> Probe:
        number = next(self._numbers)
        self._sent[number] = (path, now)
        path.open[number] = _Open(now)
        path.sent_at = now
        peer.asked_at = now if peer.asked_at is None else peer.asked_at
        return Probe(number, path.watched)

    def _calm_s(self, path: _Path, peer: _Peer, now: float) -> float:
        """Return the pause between two probes at rest."""
        soon = path.watched.in_use and len(peer.paths) > 1
        soon = soon or peer.is_silent(now)  # whichever path comes back first is wanted
        return self._slower * (self._settings.interval if soon else self._settings.idle_interval)

    @property
    def _lifetime_s(self) -> float:
        return READINGS * self._slower * max(self._settings.interval, self._settings.idle_interval)

    def _is_news(self, fact: str, old: _Said | None, value: float, path: _Path) -> bool:
        """Return whether a value is another one, or was confirmed and its word would run out."""
        if old is None or path.known_at - old.at >= self._lifetime_s / 2:
            return True
        step = max(RTT_STEP_S, RTT_STEP * old.value) if fact == RTT.name else 0.0
        return abs(value - old.value) > step


def _measured(fact: str, key: Key, value: float | None, lifetime_s: float | None) -> FactMeasured:
    interface, peer = key
    return FactMeasured(fact=fact, value=value, interface=interface, peer=peer, lifetime_s=lifetime_s)
