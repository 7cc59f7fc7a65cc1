"""The kernel's table of TCP sockets in this network namespace.

Socket statistics are asked for by netlink; a kernel without them has ``/proc/net/tcp``.

Source: proc(5), ``/proc/net/tcp`` and ``/proc/net/snmp``.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
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
_COUNTERS: Final = Path("/proc/self/net/snmp")

MAX_AGE_S: Final = 10.0
"""Seconds after which the table is read although nothing seems to have changed, at the earliest."""

SHARE: Final = 0.0005
"""The part of a core that this may take: where a reading takes 10 ms there are 20 s between two."""

LONGEST_S: Final = 30.0
"""Seconds after which the table is read at the latest, whatever it takes."""

STIR_S: Final = 1.5
"""Seconds for which it is read at every look after something has changed: what one thing does to a counter
another may undo, and a connection that was begun may not be established yet."""


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


class ConnectionTable:
    """The established connections as of a moment ago, read anew when counters of the kernel say that it pays.

    To read the table takes 10 ms and more, because the kernel walks all of its hash table; the counters take
    0.1 ms. They show every connection that is opened, established, reset, or closed at this end. Where the
    other end closes first it is the state of the connection that changes, and no counter: that is noticed
    when the table is too old, or when the peer's daemon says so.

    Source: ``tcp_set_state`` in ``net/ipv4/tcp.c``; RFC 4022.
    """

    def __init__(self) -> None:
        self._rows: dict[int, Row] = {}
        self._seen: object = None
        self._stirred_at = self._read_at = float("-inf")
        self._max_age_s = MAX_AGE_S

    def read(self, now: float, occasion: object = None) -> Mapping[int, Row]:
        """Return the connections by the inode of their socket; the same object if nothing was read.

        Args:
            now: a monotonic time in seconds.
            occasion: anything; where it is not equal to the last one the table is read.
        """
        # Before the table: what changes in between is noticed at the next look.
        seen = (_counters(), occasion)
        if seen != self._seen or seen[0] is None:
            self._seen, self._stirred_at = seen, now
        if now - self._stirred_at < STIR_S or now - self._read_at >= self._max_age_s:
            begun = time.thread_time()
            self._rows, self._read_at = established(), now
            self._max_age_s = min(max((time.thread_time() - begun) / SHARE, MAX_AGE_S), LONGEST_S)
        return self._rows


def _counters() -> tuple[bytes, ...] | None:
    """Return how many connections were opened, failed and were reset so far, and how many are established."""
    try:
        lines = [line.split() for line in _COUNTERS.read_bytes().splitlines() if line.startswith(b"Tcp:")]
    except FileNotFoundError:
        return None
    names, values = lines
    return tuple(value for name, value in zip(names, values, strict=True) if name in _TELLING)


_TELLING: Final = frozenset({b"ActiveOpens", b"PassiveOpens", b"AttemptFails", b"EstabResets", b"CurrEstab"})


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
