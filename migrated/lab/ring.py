"""A packet socket whose frames arrive in a ring of shared memory.

The ring stands in for a large receive buffer: an ordinary user may not raise the buffer of a
socket above the machine's limit, and a burst of 64 KiB frames would overflow it.

Frames carry a ``virtio_net_hdr`` in front. It says what is still to be done (cut into segments, compute the
checksum), so that frames of 64 KiB pass whole, as they do between two veth interfaces.

Source: packet(7), Documentation/networking/packet_mmap.rst (TPACKET_V2), include/uapi/linux/virtio_net.h.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct
from collections.abc import Iterator

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_VERSION, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 5, 10, 15, 23
_TPACKET_V2 = 1
_ETH_P_ALL = 0x0003
_STATUS_KERNEL = struct.pack("I", 0)
_STATUS_USER = 1
_HEADER = struct.Struct("=IIIHH")  # tpacket2_hdr: status, length, captured length, offset of MAC, of network
_VNET_HEADER_BYTES = 10
_FRAME_BYTES = 66_560  # the largest frame of a veth (64 KiB) with its headers, a multiple of 16
_BLOCK_BYTES = 1 << 20
_BLOCKS = 16  # 240 frames, 16 MiB
_FRAMES_PER_BLOCK = _BLOCK_BYTES // _FRAME_BYTES
_FRAMES = _BLOCKS * _FRAMES_PER_BLOCK
# What a cable with nothing at its other end, or a full queue behind it, says: the frame is lost.
_LOST = {errno.ENETDOWN, errno.ENETUNREACH, errno.ENOBUFS, errno.ENXIO}


class FrameRing:
    """All frames that arrive at one interface, and the way to send some from it."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        for option, value in (
            (_PACKET_VERSION, _TPACKET_V2),
            (_PACKET_VNET_HDR, 1),
            (_PACKET_IGNORE_OUTGOING, 1),
        ):
            self._socket.setsockopt(_SOL_PACKET, option, value)
        request = struct.pack("IIII", _BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, _FRAMES)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._memory = mmap.mmap(self._socket.fileno(), _BLOCKS * _BLOCK_BYTES)
        self._next = 0
        # Bound last: with protocol 0 nothing arrived before the ring was there.
        self._socket.bind((interface, _ETH_P_ALL))

    def fileno(self) -> int:
        """Return the file descriptor; it is readable while frames wait."""
        return self._socket.fileno()

    def take(self) -> Iterator[bytes]:
        """Take out the frames that have arrived, oldest first, each with its header for ``send``."""
        for _ in range(_FRAMES):  # one round: who sends faster than we take must not keep us here
            start = (
                self._next // _FRAMES_PER_BLOCK * _BLOCK_BYTES + self._next % _FRAMES_PER_BLOCK * _FRAME_BYTES
            )
            status, length, captured, mac, _ = _HEADER.unpack_from(self._memory, start)
            if not status & _STATUS_USER:
                return
            first = start + mac - _VNET_HEADER_BYTES
            frame = self._memory[first : start + mac + captured]
            self._memory[start : start + len(_STATUS_KERNEL)] = _STATUS_KERNEL
            self._next = (self._next + 1) % _FRAMES
            if captured == length:
                yield frame

    def interrupted(self) -> bool:
        """Return, once, whether the interface has gone down since the last call."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def send(self, frame: bytes) -> None:
        """Send a frame that ``take`` of another ring gave; it is lost if the interface is down or congested.

        Raises:
            OSError: the interface is gone.
        """
        try:
            self._socket.send(frame)
        except OSError as error:
            if error.errno not in _LOST:
                raise
