"""Put elements into a set of nftables, and take them out: in a fraction of the time of starting ``nft``.

Source: ``include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h``; ``net/netfilter/nfnetlink.c``.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Final

ELEMENTS_MAX: Final = 1000
"""Elements of one transaction. The kernel takes no attribute beyond 64 KiB, and no message beyond the
socket's send buffer, which a user namespace can't enlarge."""

_NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_NFPROTO_INET: Final = 1
_NLMSG_ERROR: Final = 2
_REQUEST: Final = 1
_ACK: Final = 4
_CREATE: Final = 0x400
_NESTED: Final = 0x8000

_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_ELEMENT: Final = 1  # NFTA_LIST_ELEM
_KEY: Final = 1  # NFTA_SET_ELEM_KEY
_VALUE: Final = 1  # NFTA_DATA_VALUE

_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_FAMILY: Final = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = struct.Struct("=i")
_ANSWER_S: Final = 5.0
_SEQUENCE_SPACE: Final = 1 << 32
_NAMESPACE: Final = Path("/proc/thread-self/ns/net")


class Change(IntEnum):
    """What to do with elements: the number of the kernel's message."""

    ADD = 12
    DELETE = 14


class _Netlink:
    """The socket to one network namespace, which stays open.

    In closing it the kernel would wait some 15 ms until the memory of deleted elements is free (an RCU grace
    period: ``nft_rcv_nl_event``), and hold every other transaction up for so long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._namespace = 0
        self._socket: socket.socket | None = None
        self._sequence = 0

    def transact(self, change: Change, table: str, name: str, keys: Sequence[bytes]) -> int:
        """Carry a transaction out; return the number of the error that undid it, or 0."""
        with self._lock:
            netlink = self._of_this_namespace()
            self._sequence = (self._sequence + 1) % _SEQUENCE_SPACE
            netlink.send(_batch(change, table, name, keys, self._sequence))
            return self._answer(netlink)

    def _of_this_namespace(self) -> socket.socket:
        """Return the socket; a thread may be in another namespace than the one before."""
        namespace = _NAMESPACE.stat().st_ino
        if self._socket is None or namespace != self._namespace:
            if self._socket is not None:
                self._socket.close()
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
            self._socket.settimeout(_ANSWER_S)
            self._namespace = namespace
        return self._socket

    def _answer(self, netlink: socket.socket) -> int:
        """Wait for the one message that asks for an answer; one that fails may be followed by more."""
        while True:
            answer = netlink.recv(1 << 16)
            _, kind, _, sequence, _ = _HEADER.unpack_from(answer)
            if kind == _NLMSG_ERROR and sequence == self._sequence:
                return -int(_ERROR.unpack_from(answer, _HEADER.size)[0])


_netlink: Final = _Netlink()


def change_elements(change: Change, table: str, name: str, keys: Sequence[bytes]) -> None:
    """Add or delete elements of a set in a table of family ``inet``: all of them or none.

    To add one that is there is no error.

    Args:
        change: what to do.
        table: the table's name.
        name: the set's.
        keys: at most `ELEMENTS_MAX`; each as the kernel wants it, its fields padded to four bytes.

    Raises:
        FileNotFoundError: the table or the set is not there, or an element to delete is not.
        OSError: the kernel refuses.
    """
    number = _netlink.transact(change, table, name, keys)
    if number:
        raise OSError(number, os.strerror(number))


def _batch(change: Change, table: str, name: str, keys: Sequence[bytes], sequence: int) -> bytes:
    elements = b"".join(_nested(_ELEMENT, _nested(_KEY, _attribute(_VALUE, key))) for key in keys)
    body = _attribute(_TABLE, _text(table)) + _attribute(_SET, _text(name)) + _nested(_ELEMENTS, elements)
    flags = _REQUEST | _ACK | (_CREATE if change is Change.ADD else 0)
    return (
        _message(_BATCH_BEGIN, _REQUEST, sequence, _family(0, _SUBSYSTEM))
        + _message(_SUBSYSTEM << 8 | change, flags, sequence, _family(_NFPROTO_INET, 0) + body)
        + _message(_BATCH_END, _REQUEST, sequence, _family(0, _SUBSYSTEM))
    )


def _message(kind: int, flags: int, sequence: int, content: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(content), kind, flags, sequence, 0) + content


def _family(family: int, resource: int) -> bytes:
    return _FAMILY.pack(family, 0, resource)


def _nested(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _attribute(kind: int, content: bytes) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + padding


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
