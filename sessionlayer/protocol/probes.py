"""Single probes: one question over one path, whose answer is a measurement and nothing else."""

from __future__ import annotations

from sessionlayer.protocol.commands import Command, ProbeAnswered
from sessionlayer.protocol.limits import PROBES_MAX
from sessionlayer.protocol.messages import Ping, Pong
from sessionlayer.protocol.values import Path
from sessionlayer.protocol.wire import Wire


class Probes:
    """The probes whose answers are awaited.

    Unlike a path check a probe is never repeated and never given up: whoever sends many of them counts what
    stays away. So there is nothing here that time could change.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._sent: dict[int, tuple[Path, float]] = {}
        # Numbers of their own: neither heartbeats nor path checks have these.
        self._number = 2**61

    def send(self, path: Path, now: float) -> tuple[int, tuple[Command, ...]]:
        """Ask over ``path``; see ``Association.probe``."""
        self._number += 1
        while len(self._sent) >= PROBES_MAX:
            del self._sent[next(iter(self._sent))]
        self._sent[self._number] = (path, now)
        ping = Ping(number=self._number, probe=True, addresses=self._wire.own_addresses)
        return self._number, (self._wire.send(ping, path),)

    def on_pong(self, message: Pong, now: float) -> tuple[Command, ...]:
        """Take the answer to one of our probes, the first time that it comes."""
        sent = self._sent.pop(message.number, None)
        if sent is None:
            return ()
        path, sent_at = sent
        return (ProbeAnswered(number=message.number, path=path, rtt_s=now - sent_at),)
