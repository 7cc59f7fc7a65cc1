"""Associations with other daemons: how they come to be, and which datagram is whose."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple

from migrated.absence import Absences
from migrated.store import Store, StoreError
from sessionlayer.protocol.association import Association
from sessionlayer.protocol.errors import RemoteProtocolError
from sessionlayer.protocol.handshake import Established, Handshake
from sessionlayer.protocol.keys import HostKey, fingerprint
from sessionlayer.protocol.limits import (
    HANDSHAKE_BURST,
    HANDSHAKE_RATE_PER_S,
    HANDSHAKE_TIMEOUT_S,
    TokenBucket,
)
from sessionlayer.protocol.messages import Hello, pack_address
from sessionlayer.protocol.sealed import receiver_index
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.trust import Direction, TrustPolicy, judge
from sessionlayer.protocol.values import Path

_log = logging.getLogger(__name__)

CROSSING_S: Final = 0.5
"""Seconds within which two handshakes in opposite directions count as simultaneous."""

PRIVILEGED_PORTS: Final = 1024
"""Ports below this one can be had with CAP_NET_BIND_SERVICE only."""

PEERS_MAX: Final = 4096
"""Associations at once; a further handshake with a stranger comes to nothing."""

HANDSHAKES_MAX: Final = 64
"""Incoming handshakes under way at once; a further one is closed unanswered."""

SOURCES_MAX: Final = 4096
"""Source addresses whose handshakes are counted; beyond it those that have been quiet are forgotten."""

_READ_BYTES: Final = 4096
_INDEX_BYTES: Final = 8


class _Shaken(NamedTuple):
    """A handshake: when it ended, and whether it was ours."""

    at: float
    initiator: bool


@dataclass(slots=True, kw_only=True)
class Peer:
    """Another host's daemon.

    ``proven`` holds the addresses at which it has completed a handshake over TCP, from a privileged port if
    it came to us: only connections with these may become sessions with it, so that no ordinary user of a
    host can speak for it. ``introduced`` holds our own addresses that it has seen so. ``shaken`` is the
    handshake whose keys are in use. ``answered_at`` is when it last answered for sessions that
    move, in monotonic seconds.
    """

    association: Association
    name: str
    initiator: bool
    shaken: _Shaken
    silent: bool = False
    answered_at: float = 0.0
    proven: set[str] = field(default_factory=set)
    introduced: set[str] = field(default_factory=set)

    @property
    def key(self) -> bytes:
        """Return its static public key, 32 bytes."""
        return self.association.peer_key

    @property
    def fingerprint(self) -> str:
        """Return the name of its key."""
        return fingerprint(self.key)


class Peers:
    """All associations of this daemon.

    Args:
        store: where host keys are kept.
        port: the control port, here and there.
        trust: the rule for keys.
        pinned: the keys that the configuration lists, 32 bytes each.
        records: returns the stored sessions with the peer of a key.
        on_associated: called when an association has been made or renewed.
    """

    def __init__(
        self,
        *,
        store: Store,
        port: int,
        trust: TrustPolicy,
        pinned: frozenset[bytes],
        records: Callable[[bytes], tuple[SessionRecord, ...]],
        addresses: Callable[[], tuple[str, ...]],
        on_associated: Callable[[Peer], None],
    ) -> None:
        self.host_key: HostKey = store.host_key()
        self._store = store
        self._port = port
        self._trust = trust
        self._pinned = pinned
        self._records = records
        self._addresses = addresses
        self._on_associated = on_associated
        self._by_index: dict[bytes, Peer] = {}
        self._by_key: dict[bytes, Peer] = {}
        self._absences = Absences()
        self._asking: dict[str, asyncio.Task[Peer | None]] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self._incoming = 0

    def __iter__(self) -> Iterator[Peer]:
        return iter(tuple(self._by_key.values()))

    def of_key(self, key: bytes) -> Peer | None:
        """Return the peer that has this key, if there is an association with it."""
        return self._by_key.get(key)

    def of_datagram(self, datagram: bytes) -> Peer | None:
        """Return the peer whose association a datagram names; whether it is authentic is another matter."""
        index = receiver_index(datagram)
        return self._by_index.get(index) if index is not None else None

    async def associate(self, remote: str, local: str, *, device: str = "") -> Peer | None:
        """Make an association with the daemon at ``remote``, from our address ``local``.

        A host without a daemon costs one refused connection, and is then left alone for a while.

        Returns:
            The peer, or ``None`` if no daemon answers there or its key is refused.
        """
        if self._absences.leave_alone(remote, asyncio.get_running_loop().time()):
            return None
        task = self._asking.get(remote)
        if task is None:
            task = asyncio.create_task(self._open(remote, local, device), name=f"handshake with {remote}")
            self._asking[remote] = task
            task.add_done_callback(lambda _: self._asking.pop(remote, None))
        return await asyncio.shield(task)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one TCP connection to the control port."""
        source = writer.get_extra_info("peername")
        remote = _plain(source[0])
        local = _plain(writer.get_extra_info("sockname")[0])
        now = asyncio.get_running_loop().time()
        try:
            room = self._incoming < HANDSHAKES_MAX and len(self._by_key) < PEERS_MAX
            if room and self._within_rate(remote, now):
                self._incoming += 1
                try:
                    await self._respond(
                        reader, writer, remote, local, privileged=source[1] < PRIVILEGED_PORTS
                    )
                finally:
                    self._incoming -= 1
        except (RemoteProtocolError, ConnectionError, TimeoutError) as error:
            _log.debug("a handshake from %s came to nothing: %s", remote, error)
        finally:
            writer.close()

    async def _open(self, remote: str, local: str, device: str) -> Peer | None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                sock = await _connected(remote, self._port, local, device)
                reader, writer = await asyncio.open_connection(sock=sock)
                try:
                    return await self._initiate(reader, writer, remote, local)
                finally:
                    writer.close()
        except (OSError, TimeoutError, RemoteProtocolError, StoreError) as error:
            self._note_absent(remote, error)
            return None

    async def _initiate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, remote: str, local: str
    ) -> Peer | None:
        loop = asyncio.get_running_loop()
        known_at = f"the known keys (`migrate forget-peer {remote}`)"

        def judged(presented: bytes) -> str | None:
            judgement = judge(
                self._trust,
                Direction.OUTGOING,
                peer=remote,
                presented=presented,
                known=self._store.known_key(remote),
                known_at=known_at,
                pinned=self._pinned,
            )
            if judgement.remember:
                self._store.remember_key(remote, presented)
                _log.info("the host key of %s is %s, trusted on first use", remote, fingerprint(presented))
            return judgement.refusal

        handshake = self._handshake(initiator=True, judge=judged, now=loop.time())
        writer.write(handshake.start())
        while handshake.established is None and handshake.refusal is None:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise RemoteProtocolError("it closed the connection in mid-handshake")
            writer.write(handshake.receive(data, loop.time()))
        if handshake.established is None:
            raise RemoteProtocolError(handshake.refusal or "refused")
        self._absences.forget(remote)
        peer = self._established(handshake.established, remote, local)
        peer.proven.add(remote)
        return peer

    async def _respond(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        remote: str,
        local: str,
        *,
        privileged: bool,
    ) -> None:
        loop = asyncio.get_running_loop()

        def judged(presented: bytes) -> str | None:
            # An address is no name for a host that moves, so no key is remembered for it.
            return judge(
                self._trust,
                Direction.INCOMING,
                peer=remote,
                presented=presented,
                known=None,
                known_at="",
                pinned=self._pinned,
            ).refusal

        handshake = self._handshake(initiator=False, judge=judged, now=loop.time())
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            while handshake.established is None and handshake.refusal is None:
                data = await reader.read(_READ_BYTES)
                if not data:
                    return
                writer.write(handshake.receive(data, loop.time()))
            if handshake.refusal is not None:
                _log.warning("an association from %s is refused: %s", remote, handshake.refusal)
            else:
                assert handshake.established is not None
                peer = self._established(handshake.established, remote, local)
                if privileged:
                    peer.proven.add(remote)
            await writer.drain()

    def _handshake(self, *, initiator: bool, judge: Callable[[bytes], str | None], now: float) -> Handshake:
        hello = Hello(
            index=os.urandom(_INDEX_BYTES),
            port=self._port,
            addresses=tuple(pack_address(address) for address in self._addresses()),
        )
        return Handshake(
            initiator=initiator,
            host_key=self.host_key,
            hello=hello,
            judge=judge,
            entropy=os.urandom,
            now=now,
        )

    def _established(self, established: Established, remote: str, local: str) -> Peer:
        now = asyncio.get_running_loop().time()
        shaken = _Shaken(now, established.initiator)
        path = Path(local_address=local, remote_address=remote, remote_port=established.peer_hello.port)
        peer = self._by_key.get(established.peer_key)
        if peer is None:
            association = Association(
                established,
                path=path,
                entropy=os.urandom,
                now=now,
                sessions=self._records(established.peer_key),
            )
            peer = Peer(association=association, name=remote, initiator=established.initiator, shaken=shaken)
            self._by_key[peer.key] = peer
        elif not self._gives_way(peer, shaken):
            self._by_index = {index: other for index, other in self._by_index.items() if other is not peer}
            self._renewed(peer, established, path, now)
            peer.shaken = shaken
        self._by_index[established.local_index] = peer
        peer.initiator = peer.initiator or established.initiator
        peer.introduced.add(local)
        self._on_associated(peer)
        return peer

    def _gives_way(self, peer: Peer, shaken: _Shaken) -> bool:
        """Return whether a handshake crossed one that goes on: of two at once, that of the smaller key does.

        Each end sees them finish in its own order; without this rule the two would keep different keys.
        """
        crossed = shaken.initiator != peer.shaken.initiator and shaken.at - peer.shaken.at < CROSSING_S
        ours_goes_on = self.host_key.public_bytes < peer.key
        return crossed and peer.shaken.initiator == ours_goes_on

    def _renewed(self, peer: Peer, established: Established, path: Path, now: float) -> None:
        peer.association.renew(established, path, now)
        if peer.silent:  # its daemon may be another one by now, which knows of no earlier handshake
            peer.proven.clear()
            peer.introduced.clear()
        peer.silent = False

    def _within_rate(self, source: str, now: float) -> bool:
        if len(self._buckets) >= SOURCES_MAX:
            self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.full(now)}
        if source not in self._buckets and len(self._buckets) >= SOURCES_MAX:
            return False
        bucket = self._buckets.setdefault(
            source, TokenBucket(rate_per_s=HANDSHAKE_RATE_PER_S, burst=HANDSHAKE_BURST, now=now)
        )
        return bucket.take(now)

    def _note_absent(self, remote: str, error: Exception) -> None:
        wait_s = self._absences.note(remote, asyncio.get_running_loop().time())
        reason = str(error) or "no answer"
        _log.info("no association with %s (asked again in %d s): %s", remote, wait_s, reason)

    def forget_idle(self, needed: Collection[bytes]) -> None:
        """Forget associations with silent peers without sessions.

        Args:
            needed: the keys of the peers that there are sessions with.
        """
        for key, peer in tuple(self._by_key.items()):
            if peer.silent and key not in needed:
                del self._by_key[key]
                self._by_index = {index: p for index, p in self._by_index.items() if p is not peer}

    def forget_absence(self, remote: str) -> None:
        """Ask a host again at the next occasion although it did not answer."""
        self._absences.forget(remote)


async def _connected(remote: str, port: int, local: str, device: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        _bind_privileged(sock, local)
        await asyncio.get_running_loop().sock_connect(sock, (remote, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_privileged(sock: socket.socket, local: str) -> None:
    """Bind to a free privileged port, which shows the other host that root speaks (bindresvport(3))."""
    ports = list(range(PRIVILEGED_PORTS // 2, PRIVILEGED_PORTS))
    random.shuffle(ports)
    for port in ports:
        try:
            sock.bind((local, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, f"no privileged port is free on {local}")


def _plain(address: str) -> str:
    parsed = ip_address(address.partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
