"""The wire to one peer: sealing, and where to send.

Only an authentic datagram that is newer than all before it may change where we send to, and of those only a
heartbeat, a handoff request or the answer to our own.

Source: Winstein and Balakrishnan, "Mosh", section 2.2 (roaming).
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from sessionlayer.protocol.commands import SendDatagram
from sessionlayer.protocol.handshake import Established
from sessionlayer.protocol.messages import Message, encode, pack_address, unpack_address
from sessionlayer.protocol.sealed import Opened, SealedChannel
from sessionlayer.protocol.values import Path


class Wire:
    """Seal and open datagrams, and remember the peer's addresses.

    Args:
        established: keys, indices and the peer's hello.
        path: the way to the peer, at first that of the handshake with the peer's UDP port.
    """

    def __init__(self, established: Established, path: Path) -> None:
        self.own_addresses: tuple[bytes, ...] = ()
        self.dropped = 0
        self.malformed = 0
        self.renew(established, path)

    def renew(self, established: Established, path: Path) -> None:
        """Go on with the keys of a new handshake with the same peer."""
        self.path = path
        self._channel = SealedChannel(
            send_key=established.send_key,
            receive_key=established.receive_key,
            local_index=established.local_index,
            peer_index=established.peer_hello.index,
        )
        self._peer_addresses = established.peer_hello.addresses
        self._peer_port = established.peer_hello.port

    def send(self, message: Message, path: Path | None = None) -> SendDatagram:
        """Return the command that sends ``message`` over ``path``, or to where the peer was last."""
        return SendDatagram(data=self._channel.seal(encode(message)), path=path or self.path)

    def open(self, datagram: bytes) -> Opened | None:
        """Return what an authentic, unrepeated datagram carries; count and drop all else."""
        opened = self._channel.open(datagram)
        self.dropped += opened is None
        return opened

    def follow(self, path: Path, *, newest: bool) -> None:
        """Send over ``path`` from now on, if the datagram that came over it is the newest."""
        if newest:
            self.path = path

    def learn(self, addresses: tuple[bytes, ...], *, newest: bool) -> None:
        """Remember the peer's packed addresses, if the datagram that names them is the newest."""
        if newest and addresses:
            self._peer_addresses = addresses

    def set_own_addresses(self, addresses: tuple[str, ...]) -> None:
        """Tell the peer from now on that our daemon may be found at ``addresses``."""
        self.own_addresses = tuple(map(pack_address, addresses))

    def alternative(self, path: Path, attempt: int) -> Path:
        """Return the way for a repetition: ``path`` every other time, else other addresses of the peer.

        This finds a peer that moved while we did, at any of the addresses that it named before.
        """
        others = self._alternatives(path)
        if attempt % 2 == 0 or not others:
            return path
        return others[attempt // 2 % len(others)]

    def _alternatives(self, path: Path) -> list[Path]:
        named = [(unpack_address(packed), self._peer_port) for packed in self._peer_addresses]
        targets = [(self.path.remote_address, self.path.remote_port), *named]
        family = ipaddress.ip_address(path.local_address or path.remote_address).version
        paths = [replace(path, remote_address=address, remote_port=port) for address, port in targets]
        fitting = [p for p in paths if ipaddress.ip_address(p.remote_address).version == family]
        return [p for p in dict.fromkeys(fitting) if p != path]
