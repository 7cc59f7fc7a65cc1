"""The kernel's table of TCP sockets in this network namespace.

Socket statistics are asked for by netlink; a kernel without them has ``/proc/net/tcp``.

Source: proc(5), ``/proc/net/tcp``.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final

from migrated.kernel import tcp
from migrated.kernel.endpoint import EndPoint
from monitors.diag import tcp_sockets

_LISTEN: Final = 10
_STATES: Final = frozenset({tcp.ESTABLISHED, _LISTEN})
_ADDRESSES_REMEMBERED: Final = 1024
_ENDS_REMEMBERED: Final = 65_536
"""End points whose decoded form is kept: the table is read over and over. Others are decoded anew."""

_TABLES: Final = ("/proc/self/net/tcp", "/proc/self/net/tcp6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One established connection. ``accepted`` says that somebody listens on its local port."""

    local: EndPoint
    remote: EndPoint
    inode: int
    uid: int
    accepted: bool


def established() -> dict[int, Row]:
    """Read all established connections that a program holds, by the inode of their socket."""
    rows = _rows()
    listening = {local.port for state, local, _, _, _ in rows if state == _LISTEN}
    return {
        inode: Row(local=local, remote=remote, inode=inode, uid=uid, accepted=local.port in listening)
        for state, local, remote, uid, inode in rows
        if state == tcp.ESTABLISHED and inode
    }


def _rows() -> list[tuple[int, EndPoint, EndPoint, int, int]]:
    try:
        return list(_asked_for())
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return list(_read())


def _asked_for() -> Iterator[tuple[int, EndPoint, EndPoint, int, int]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        for row in tcp_sockets(family, _STATES):
            local = EndPoint(address=_text(row.local), port=row.local_port)
            remote = EndPoint(address=_text(row.remote), port=row.remote_port)
            yield row.state, local, remote, row.uid, row.inode


def _read() -> Iterator[tuple[int, EndPoint, EndPoint, int, int]]:
    for name in _TABLES:
        try:
            text = Path(name).read_text()
        except FileNotFoundError:
            continue  # a kernel without IPv6
        yield from _parse(text.splitlines()[1:])


def _parse(lines: Iterable[str]) -> Iterator[tuple[int, EndPoint, EndPoint, int, int]]:
    for line in lines:
        fields = line.split()
        yield int(fields[3], 16), _end(fields[1]), _end(fields[2]), int(fields[7]), int(fields[9])


@lru_cache(maxsize=_ENDS_REMEMBERED)
def _end(text: str) -> EndPoint:
    """Decode an address, which is written in hexadecimal as 32-bit words in the machine's byte order."""
    address, port = text.split(":")
    raw = bytes.fromhex(address)
    network = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4)) if _LITTLE_ENDIAN else raw
    return EndPoint(address=_text(network), port=int(port, 16))


@lru_cache(maxsize=_ADDRESSES_REMEMBERED)
def _text(network: bytes) -> str:
    """Write an address as people do; the same few ones are in very many rows."""
    parsed = ip_address(network)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


_LITTLE_ENDIAN: Final = socket.htons(1) != 1
