"""Ask the kernel by netlink: requests out, the messages of its answer back, still as bytes.

For what is asked often or has very many answers. Decoding every attribute of every answer, as libraries do,
costs ten times as much as looking at the few bytes that are wanted.

Source: netlink(7); ``include/uapi/linux/netlink.h``.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

HEADER: Final = struct.Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence number, port."""

ATTRIBUTE: Final = struct.Struct("=HH")
"""``struct nlattr``: length, type."""

ERROR: Final = 2  # NLMSG_ERROR
DONE: Final = 3  # NLMSG_DONE

TYPE_MASK: Final = 0x3FFF
"""The bits of an attribute's type that are it: without ``NLA_F_NESTED`` and ``NLA_F_NET_BYTEORDER``."""

ROOM: Final = 1 << 16
"""Bytes, more than the kernel puts into one datagram."""

_REQUEST: Final = 0x1  # NLM_F_REQUEST
_DUMP: Final = 0x300  # NLM_F_DUMP
_NUMBER: Final = struct.Struct("=i")

Message = tuple[int, int, int]
"""The type of a message or attribute, and where in its datagram the body starts and ends, in bytes."""


def question(kind: int, body: bytes, *, dump: bool = False) -> bytes:
    """Return a request as the kernel expects it.

    Args:
        kind: the type of the message.
        body: what follows its header.
        dump: whether everything there is of that type is asked for.
    """
    return HEADER.pack(HEADER.size + len(body), kind, _REQUEST | (_DUMP if dump else 0), 1, 0) + body


def dump(protocol: int, kind: int, body: bytes) -> Iterator[tuple[bytes, list[Message]]]:
    """Ask for everything there is of one type, and yield each datagram with the messages in it.

    Args:
        protocol: a netlink family, such as ``NETLINK_ROUTE``.
        kind: the type of the request.
        body: what follows its header.

    Raises:
        OSError: the kernel refuses, for that reason.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as netlink:
        netlink.send(question(kind, body, dump=True))
        while True:
            datagram = netlink.recv(ROOM)
            told = list(messages(datagram))
            last = told[-1][0] == DONE
            yield datagram, told[:-1] if last else told
            if last:
                return


def messages(datagram: bytes) -> Iterator[Message]:
    """Yield the messages of a datagram.

    Raises:
        OSError: one of them says that the kernel refuses, and why.
    """
    position = 0
    while position < len(datagram):
        length, kind, _, _, _ = HEADER.unpack_from(datagram, position)
        if kind in (ERROR, DONE) and (number := refusal(datagram, position + HEADER.size)):
            raise OSError(number, os.strerror(number))
        yield kind, position + HEADER.size, position + length
        position += aligned(length)


def refusal(datagram: bytes | bytearray, start: int) -> int:
    """Return the error number in a message of type `ERROR` whose body starts there; 0 if all is well."""
    return -int(_NUMBER.unpack_from(datagram, start)[0])


def attributes(datagram: bytes, start: int, end: int) -> Iterator[Message]:
    """Yield the attributes between two places of a datagram."""
    while start + ATTRIBUTE.size <= end:
        length, kind = ATTRIBUTE.unpack_from(datagram, start)
        yield kind & TYPE_MASK, start + ATTRIBUTE.size, start + length
        start += aligned(max(length, ATTRIBUTE.size))


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute as it is sent, with its padding."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(aligned(length) - length)


def aligned(length: int) -> int:
    """Return where what follows something of this length starts: at a multiple of four bytes."""
    return length + 3 & ~3
