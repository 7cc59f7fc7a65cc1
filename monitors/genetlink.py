"""Ask the kernel's generic netlink families: requests, answers and their attributes.

Only whole lists are asked for (dumps), the list of families too: asking for a family by its name would make
the kernel start ``modprobe`` for it. What comes back is judged before it is used: whatever is cut off,
overlong or of no known form raises `GenericNetlinkError`. (`monitors.nlmsg`, whose framing this is, trusts
the kernel's core; what stands in these messages comes from drivers.)

Source: netlink(7); ``include/uapi/linux/genetlink.h``; Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from monitors import nlmsg

NETLINK_GENERIC: Final = 16
ANSWER_LIMIT_S: Final = 2.0
"""How long the kernel may take for an answer: some drivers ask their device's firmware first."""

MESSAGES_MAX: Final = 4096
"""How many messages an answer may have; no host has as many links or families."""

_CONTROLLER: Final = 16  # GENL_ID_CTRL
_GET_FAMILY: Final = 3  # CTRL_CMD_GETFAMILY
_FAMILY_ID, _FAMILY_NAME, _GROUPS = 1, 2, 7  # CTRL_ATTR_…
_GROUP_NAME, _GROUP_ID = 1, 2  # CTRL_ATTR_MCAST_GRP_…

_COMMAND: Final = struct.Struct("=BBxx")  # struct genlmsghdr: command, version
_STATUS_SIZE: Final = 4


class GenericNetlinkError(Exception):
    """A message is not what generic netlink's are like; the text says how."""


@dataclass(frozen=True, slots=True)
class Message:
    """A family's message: its command, and its attributes by their type."""

    command: int
    attributes: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Family:
    """A family as this kernel numbers it: the type of its messages, and its multicast groups by name."""

    number: int
    groups: Mapping[str, int]


def connect() -> socket.socket:
    """Return a socket for requests, which waits for answers at most ``ANSWER_LIMIT_S``.

    Raises:
        OSError: the kernel has no generic netlink.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
    opened.settimeout(ANSWER_LIMIT_S)
    return opened


def find_family(kernel: socket.socket, name: str) -> Family | None:
    """Return a family, or nothing if the kernel does not have it at present.

    Raises:
        GenericNetlinkError: the answer is none.
        OSError: the kernel refuses, or does not answer in time.
    """
    wanted = name.encode()
    for message in dump(kernel, _CONTROLLER, _GET_FAMILY):
        if text(message.attributes.get(_FAMILY_NAME, b"")) == wanted:
            return _family(message)
    return None


def _family(message: Message) -> Family:
    groups = (parse(group) for group in parse(message.attributes.get(_GROUPS, b"")).values())
    numbers = {text(group.get(_GROUP_NAME, b"")): number(group.get(_GROUP_ID, b""), 4) for group in groups}
    return Family(
        number(message.attributes.get(_FAMILY_ID, b""), 2),
        {name.decode("ascii", "replace"): group for name, group in numbers.items()},
    )


def dump(kernel: socket.socket, family: int, command: int, attributes: bytes = b"") -> list[Message]:
    """Ask a family for a list and return all of it.

    Args:
        kernel: a socket for requests on which no answer is outstanding; use it no more after an error.
        family: the type of the family's messages.
        command: what is asked.
        attributes: as `nlmsg.attribute` makes them.

    Raises:
        GenericNetlinkError: the answer is none.
        OSError: the kernel refuses (`FileNotFoundError`: it has no such family), or does not answer in time.
    """
    kernel.send(nlmsg.question(family, _COMMAND.pack(command, 1) + attributes, dump=True))
    found: list[Message] = []
    while True:
        for kind, payload in messages(_datagram(kernel)):
            if kind in (nlmsg.DONE, nlmsg.ERROR):
                _check_status(payload)
                return found
            if kind == family:
                found.append(message_of(payload))
            if len(found) > MESSAGES_MAX:
                raise GenericNetlinkError(f"the answer has more than {MESSAGES_MAX} messages")


def _datagram(kernel: socket.socket) -> bytes:
    datagram, _, flags, _ = kernel.recvmsg(nlmsg.ROOM)
    if flags & socket.MSG_TRUNC:
        raise GenericNetlinkError(f"a datagram is longer than {nlmsg.ROOM} bytes")
    if not datagram:
        raise GenericNetlinkError("a datagram is empty")
    return datagram


def _check_status(payload: bytes) -> None:
    if len(payload) < _STATUS_SIZE:
        raise GenericNetlinkError("the end of an answer has no status")
    if refused := abs(nlmsg.refusal(payload, 0)):
        raise OSError(refused, os.strerror(refused))


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the payload of each message in a datagram.

    Raises:
        GenericNetlinkError: a message has an impossible length.
    """
    position = 0
    while position < len(datagram):
        if position + nlmsg.HEADER.size > len(datagram):
            raise GenericNetlinkError("a message's header is cut off")
        length, kind, _, _, _ = nlmsg.HEADER.unpack_from(datagram, position)
        if not nlmsg.HEADER.size <= length <= len(datagram) - position:
            raise GenericNetlinkError(f"a message says that it has {length} bytes")
        yield kind, datagram[position + nlmsg.HEADER.size : position + length]
        position += nlmsg.aligned(length)


def message_of(payload: bytes) -> Message:
    """Read the payload of a family's message.

    Raises:
        GenericNetlinkError: it is cut off.
    """
    if len(payload) < _COMMAND.size:
        raise GenericNetlinkError("a message's command is cut off")
    command, _ = _COMMAND.unpack_from(payload)
    return Message(command, parse(payload[_COMMAND.size :]))


def parse(data: bytes) -> dict[int, bytes]:
    """Return the attributes in some bytes by their type; of two with one type the last.

    Raises:
        GenericNetlinkError: an attribute has an impossible length.
    """
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        if position + nlmsg.ATTRIBUTE.size > len(data):
            raise GenericNetlinkError("an attribute's header is cut off")
        length, kind = nlmsg.ATTRIBUTE.unpack_from(data, position)
        if not nlmsg.ATTRIBUTE.size <= length <= len(data) - position:
            raise GenericNetlinkError(f"an attribute says that it has {length} bytes")
        found[kind & nlmsg.TYPE_MASK] = data[position + nlmsg.ATTRIBUTE.size : position + length]
        position += nlmsg.aligned(length)
    return found


def number(value: bytes, size: int) -> int:
    """Return an attribute's value as an unsigned number of ``size`` bytes.

    Raises:
        GenericNetlinkError: it has another size.
    """
    if len(value) != size:
        raise GenericNetlinkError(f"a number of {size} bytes has {len(value)}")
    return int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> bytes:
    """Return an attribute's value as text, without what follows the first NUL."""
    return value.partition(b"\0")[0]
