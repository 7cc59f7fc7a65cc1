"""A simulated network and TCP: enough of a kernel to be killed by a segment that meets nobody."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sessionlayer.protocol.values import Connection, Path

Place = tuple[str, int]

PROBE_S = 1.0
RETRANSMIT_S = 0.3
SEGMENT_BYTES = 400


@dataclass(slots=True)
class Network:
    """Addresses that are alive or gone, and links that lose, delay, reorder and repeat."""

    random: random.Random
    loss: float = 0.0
    duplication: float = 0.0
    delay_s: tuple[float, float] = (0.001, 0.060)
    now: float = 0.0
    alive: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0

    def at(self, when: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, event))

    def next_event(self) -> float:
        return self._events[0][0] if self._events else float("inf")

    def run_one(self) -> None:
        _when, _count, event = heapq.heappop(self._events)
        event()

    def usable(self, address: str) -> bool:
        return address in self.alive and address not in self.cut

    def carry(
        self, source: str, destination: str, deliver: Callable[[], None], *, sure: bool = False
    ) -> None:
        """Deliver once, several times or not at all, if both addresses are usable when it matters."""
        if not self.usable(source):
            return
        copies = 1 if sure else int(self.random.random() >= self.loss)
        copies += not sure and self.random.random() < self.duplication
        for _copy in range(copies):
            delay = self.random.uniform(*self.delay_s)
            self.at(self.now + delay, lambda: deliver() if self.usable(destination) else None)


@dataclass(slots=True)
class End:
    """One end of a TCP connection, and the bytes that its program wrote and read."""

    kernel: Kernel
    local: Place
    remote: Place
    connection: Connection
    frozen: bool = False
    window: bool = True
    written: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)
    acknowledged: int = 0
    sent: int = 0
    probe_at: float = 0.0
    retransmit_at: float = 0.0
    killed: bool = False

    @property
    def received(self) -> int:
        return len(self.read)

    def restore(self, local: Place, remote: Place, peer_received: int, *, window: bool) -> None:
        """Rebind: what the peer lacks becomes unsent. Bytes that it acknowledged are gone."""
        assert self.acknowledged <= peer_received <= self.sent, "the peer's claim is impossible"
        self.local, self.remote = local, remote
        self.acknowledged = self.sent = peer_received
        self.frozen, self.window = False, window
        self.probe_at = self.kernel.network.now + PROBE_S

    def thaw(self) -> None:
        self.frozen = False
        self.probe_at = self.kernel.network.now

    def transmit(self, data: bytes = b"", sequence: int | None = None) -> None:
        place = self.sent if sequence is None else sequence
        self.kernel.send_segment(self, place, data)

    def probe(self) -> None:
        """Ask for a sign of life as a kernel does: with a sequence number that was acknowledged before."""
        self.transmit(sequence=self.sent - 1)

    def tick(self, now: float) -> None:
        if self.frozen or self.killed:
            return
        if not self.window:
            if now >= self.probe_at:
                self.probe_at = now + PROBE_S
                self.probe()
            return
        if self.sent < len(self.written):
            self._send_from(self.sent, now)
        elif self.acknowledged < self.sent and now >= self.retransmit_at:
            self._send_from(self.acknowledged, now)

    def hear(self, sequence: int, data: bytes, acknowledged: int) -> None:
        if self.frozen or self.killed:
            return
        self.window = True
        if acknowledged <= self.sent:
            self.acknowledged = max(self.acknowledged, acknowledged)
        if sequence <= self.received < sequence + len(data):
            self.read += data[self.received - sequence :]
        if data or sequence < self.received:
            self.transmit()

    def _send_from(self, start: int, now: float) -> None:
        data = bytes(self.written[start : start + SEGMENT_BYTES])
        self.sent = max(self.sent, start + len(data))
        self.retransmit_at = now + RETRANSMIT_S
        self.transmit(data, start)


@dataclass(slots=True)
class Kernel:
    """The TCP of one host. At ``quiet`` places a segment that meets no end is dropped."""

    network: Network
    ends: list[End] = field(default_factory=list)
    peer: Kernel | None = None
    quiet: set[Place] = field(default_factory=set)

    def send_segment(self, end: End, sequence: int, data: bytes) -> None:
        local, remote, acknowledged = end.local, end.remote, end.received
        peer = self.peer
        assert peer is not None
        self.network.carry(
            local[0], remote[0], lambda: peer.take_segment(remote, local, sequence, data, acknowledged)
        )

    def take_segment(
        self, local: Place, remote: Place, sequence: int, data: bytes, acknowledged: int
    ) -> None:
        for end in self.ends:
            if (end.local, end.remote) == (local, remote):
                end.hear(sequence, data, acknowledged)
                return
        if local in self.quiet:
            return
        peer = self.peer
        assert peer is not None
        self.network.carry(local[0], remote[0], lambda: peer.take_reset(remote, local), sure=True)

    def take_reset(self, local: Place, remote: Place) -> None:
        for end in self.ends:
            if (end.local, end.remote) == (local, remote) and not end.frozen:
                end.killed = True


def reversed_path(path: Path, source: str, port: int) -> Path:
    """Return how a datagram sent over ``path`` arrives, when it came from ``source``."""
    return Path(local_address=path.remote_address, remote_address=source, remote_port=port)
