"""Signs of life: heartbeats of the association, and probes of paths before anything moves there."""

from __future__ import annotations

from dataclasses import dataclass, field

from sessionlayer.protocol.commands import (
    Command,
    PathFailed,
    PathValidated,
    PeerHeard,
    PeerSilent,
    SendDatagram,
)
from sessionlayer.protocol.limits import (
    HEARTBEAT_S,
    PATH_CHECK_RETRY_S,
    PATH_CHECK_S,
    PATH_CHECKS_MAX,
    SILENCE_S,
)
from sessionlayer.protocol.messages import Ping, Pong
from sessionlayer.protocol.transitions import ASSOCIATION, AssociationEvent, AssociationState, Machine
from sessionlayer.protocol.values import Path
from sessionlayer.protocol.wire import Wire


class Heartbeat:
    """Ping once a second, whatever else is sent, and say when the peer falls silent or is heard again."""

    def __init__(self, wire: Wire, now: float) -> None:
        self._wire = wire
        self.machine = Machine(ASSOCIATION, AssociationState.HEARD)
        self._heard_at = now
        self._beat_at = now
        self._beats = 0

    @property
    def heard_at(self) -> float:
        """Return when the peer was heard last, in seconds; at first when the association was made."""
        return self._heard_at

    def heard(self, now: float) -> tuple[Command, ...]:
        """Note an authentic datagram."""
        return self._hear(AssociationEvent.DATAGRAM, now)

    def renewed(self, now: float) -> tuple[Command, ...]:
        """Note a new handshake with the same peer."""
        return self._hear(AssociationEvent.RENEW, now)

    def on_ping(self, message: Ping, path: Path, *, newest: bool) -> tuple[Command, ...]:
        """Answer a ping where it came from; a heartbeat, unlike a probe, may also steer."""
        self._wire.learn(message.addresses, newest=newest)
        self._wire.follow(path, newest=newest and not message.probe)
        pong = Pong(number=message.number, addresses=self._wire.own_addresses)
        return (self._wire.send(pong, path),)

    def next_deadline(self) -> float:
        """Return when to ping next, or when the peer counts as silent."""
        if self.machine.state is AssociationState.SILENT:
            return self._beat_at
        return min(self._beat_at, self._heard_at + SILENCE_S)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Ping, and notice silence."""
        commands: list[Command] = []
        if self._beat_at <= now:
            self._beat_at = now + HEARTBEAT_S
            commands += self._beat()
        if self.machine.state is AssociationState.HEARD and self._heard_at + SILENCE_S <= now:
            self.machine.feed(AssociationEvent.SILENCE)
            commands.append(PeerSilent())
        return tuple(commands)

    def _hear(self, event: AssociationEvent, now: float) -> tuple[Command, ...]:
        was_silent = self.machine.state is AssociationState.SILENT
        self.machine.feed(event)
        self._heard_at = now
        return (PeerHeard(),) if was_silent else ()

    def _beat(self) -> list[SendDatagram]:
        self._beats += 1
        ping = Ping(number=self._beats, addresses=self._wire.own_addresses)
        paths = {self._wire.path: None}
        if self.machine.state is AssociationState.SILENT:
            paths[self._wire.alternative(self._wire.path, 2 * self._beats + 1)] = None
        return [self._wire.send(ping, path) for path in paths]


@dataclass(slots=True, kw_only=True)
class _Check:
    fails_at: float
    ping_at: float
    sent: dict[int, float] = field(default_factory=dict)


class PathChecks:
    """The paths over which a sign of life is awaited."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._checks: dict[Path, _Check] = {}
        # Numbers of their own, so that the answer to a heartbeat validates no path.
        self._numbers = 2**62

    def validate(self, path: Path, now: float) -> tuple[Command, ...]:
        """Ask for a sign of life over ``path``; see ``Association.validate_path``."""
        if path not in self._checks and len(self._checks) >= PATH_CHECKS_MAX:
            return (PathFailed(path=path),)
        check = _Check(fails_at=now + PATH_CHECK_S, ping_at=now)
        self._checks[path] = check
        return (self._ping(path, check, now),)

    def on_pong(self, message: Pong, now: float) -> tuple[Command, ...]:
        """Take the answer to one of our pings."""
        for path, check in self._checks.items():
            sent_at = check.sent.get(message.number)
            if sent_at is not None:
                del self._checks[path]
                return (PathValidated(path=path, rtt_s=now - sent_at),)
        return ()

    def next_deadline(self) -> float | None:
        """Return when to ping again or give up."""
        return min((min(c.ping_at, c.fails_at) for c in self._checks.values()), default=None)

    def handle_timer(self, now: float) -> tuple[Command, ...]:
        """Ping again, and give up on paths that stayed silent."""
        failed = [path for path, check in self._checks.items() if check.fails_at <= now]
        for path in failed:
            del self._checks[path]
        due = [(path, check) for path, check in self._checks.items() if check.ping_at <= now]
        pings = [self._ping(path, check, now) for path, check in due]
        return (*(PathFailed(path=path) for path in failed), *pings)

    def _ping(self, path: Path, check: _Check, now: float) -> SendDatagram:
        self._numbers += 1
        check.sent[self._numbers] = now
        check.ping_at = now + PATH_CHECK_RETRY_S
        ping = Ping(number=self._numbers, probe=True, addresses=self._wire.own_addresses)
        return self._wire.send(ping, path)
