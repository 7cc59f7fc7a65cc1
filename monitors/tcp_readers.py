"""Two ways to read what TCP knows of the sessions' connections.

By sock_diag each connection is asked for by its addresses and ports. That costs 3 µs for each and nothing for
the other sockets of the host, and tells everything. ``/proc/net/tcp`` and ``tcp6`` list all sockets, tell
less, and cost 20 ms a reading on a kernel with a large hash table: they are for kernels without sock_diag.

Both look at the inode of what they find, so nobody else's socket is taken for a session's.

Source: sock_diag(7); proc(5), ``/proc/net/tcp``; ``get_tcp4_sock`` in ``net/ipv4/tcp_ipv4.c``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from monitors.diag import TcpDetails, is_available, socket_question, tcp_details
from monitors.spec import NotAvailableError
from monitors.surroundings import WatchedConnection

STATISTICS: Final = Path("/proc/net/netstat")

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_RTO, _RETRANSMITS, _INODE = 12, 6, 9  # columns
_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")

Reading = tuple[int, TcpDetails]
"""The inode of a connection's socket, and what TCP says of the connection."""


class Reader(Protocol):
    """Where readings come from."""

    @property
    def detailed(self) -> bool:
        """Return whether readings have more than ``retransmits`` and ``rto_us``; the rest is 0 otherwise."""
        ...

    def watch(self, connections: Sequence[WatchedConnection]) -> None:
        """Read these from now on, and no others."""
        ...

    def read(self) -> Iterator[list[Reading]]:
        """Yield a reading of each connection that there still is, some at a time.

        Raises:
            OSError: the kernel refuses.
        """
        ...


class DiagReader:
    """Ask sock_diag for each connection; what is asked is put together once."""

    detailed = True

    def __init__(self) -> None:
        self._asked: dict[int, tuple[WatchedConnection, bytes]] = {}
        self._questions: list[bytes] = []

    def watch(self, connections: Sequence[WatchedConnection]) -> None:
        """Read these from now on, and no others."""
        before, self._asked = self._asked, {}
        indexes: dict[str, int] = {}
        for connection in connections:
            known, question = before.get(connection.inode, (None, b""))
            if known is not connection and known != connection:
                indexes = indexes or {name: index for index, name in socket.if_nameindex()}
                question = _question(connection, indexes.get(connection.interface, 0))
            self._asked[connection.inode] = (connection, question)
        self._questions = [question for _, question in self._asked.values()]

    def read(self) -> Iterator[list[Reading]]:
        """Yield a reading of each connection that there still is, some at a time.

        Raises:
            OSError: the kernel refuses.
        """
        for found in tcp_details(self._questions):
            yield [reading for reading in found if reading[0] in self._asked]


def _question(connection: WatchedConnection, index: int) -> bytes:
    return socket_question(
        (connection.local_address, connection.local_port),
        (connection.remote_address, connection.remote_port),
        index,
    )


class ProcReader:
    """Read the tables of all TCP sockets and pick the sessions'.

    Args:
        tables: one for IPv4, and one for IPv6 if the kernel has it.
    """

    detailed = False

    def __init__(self, tables: Sequence[Path] = TABLES) -> None:
        self._tables = tables
        self._wanted: set[bytes] = set()

    def watch(self, connections: Sequence[WatchedConnection]) -> None:
        """Read these from now on, and no others."""
        self._wanted = {b"%d" % connection.inode for connection in connections}

    def read(self) -> Iterator[list[Reading]]:
        """Yield a reading of each connection that there still is, a table at a time.

        Raises:
            OSError: a table can't be read.
        """
        for table in self._tables:
            if table.exists():
                yield list(_pick(table.read_bytes(), self._wanted))


def _pick(table: bytes, wanted: set[bytes]) -> Iterator[Reading]:
    for line in table.splitlines()[1:]:
        fields = line.split(None, _RTO + 1)
        if fields[_INODE] in wanted:
            rto_us = int(fields[_RTO]) * _TICK_US
            yield int(fields[_INODE]), TcpDetails(int(fields[_RETRANSMITS], 16), 0, rto_us, 0, 0, 0, 0, 0)


def count_timeouts(statistics: Path = STATISTICS) -> int | None:
    """Return how many retransmission time-outs there were in this network namespace so far.

    Where it has not grown no connection has retransmitted in vain. It takes 0.1 to 0.3 ms, however many
    there are.

    Returns:
        The number, or ``None`` if this kernel does not tell it.

    Raises:
        OSError: the kernel refuses.

    Source: ``tcp_retransmit_timer`` in ``net/ipv4/tcp_timer.c``; Documentation/networking/snmp_counter.rst.
    """
    try:
        names, values, _ = statistics.read_bytes().split(b"\n", 2)
    except FileNotFoundError:
        return None
    return int(values.split()[names.split().index(b"TCPTimeouts")])


def open_reader(source: str, tables: Sequence[Path] = TABLES) -> Reader:
    """Return the way to read that the settings ask for and this kernel has.

    Args:
        source: ``"sock_diag"``, or ``"proc"`` to use the tables in any case.
        tables: those of ``ProcReader``.

    Raises:
        NotAvailableError: the kernel has neither.
        OSError: it refuses.
    """
    if source == "sock_diag" and is_available():
        return DiagReader()
    if not tables[0].exists():
        raise NotAvailableError(f"this kernel has no `{tables[0]}`, and does not answer with sock_diag")
    return ProcReader(tables)
