"""Find the programs that hold a socket, and borrow the socket from one of them."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from migrated.kernel.errors import RebindError, SocketGoneError

_PIDFD_GETFD: Final = 438
_IO_URING_LINK: Final = "anon_inode:[io_uring]"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One descriptor of one process through which a socket is held."""

    pid: int
    descriptor: int
    program: str
    uses_io_uring: bool


def processes() -> frozenset[int]:
    """Return the numbers of all processes."""
    return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def find_holders(
    inodes: Collection[int], among: Collection[int] | None = None
) -> Mapping[int, tuple[Holder, ...]]:
    """Find every descriptor of every process that refers to one of the sockets.

    A forked server holds a socket more than once. One pass over ``/proc`` serves all sockets.

    Args:
        inodes: socket inodes, as ``/proc/net/tcp`` shows them.
        among: the processes to look at; ``None`` for all.

    Returns:
        For each inode that is held, its holders, ordered by process.

    Source: proc(5).
    """
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: defaultdict[int, list[Holder]] = defaultdict(list)
    for pid in set(processes() if among is None else among) - {os.getpid()}:
        for inode, holder in _holders_in(pid, wanted):
            found[inode].append(holder)
    return {
        inode: tuple(sorted(holders, key=lambda h: (h.pid, h.descriptor))) for inode, holders in found.items()
    }


def _holders_in(pid: int, wanted: Mapping[str, int]) -> Iterator[tuple[int, Holder]]:
    """Yield the sockets that a process holds, of those that are wanted by what their links say."""
    sockets: list[tuple[int, int]] = []
    io_uring = False
    try:
        for name, target in _descriptors(pid):
            io_uring = io_uring or target == _IO_URING_LINK
            inode = wanted.get(target)
            if inode is not None:
                sockets.append((inode, int(name)))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # gone meanwhile, or not ours to see
    if not sockets:
        return
    program = program_name(pid)
    for inode, descriptor in sockets:
        yield inode, Holder(pid=pid, descriptor=descriptor, program=program, uses_io_uring=io_uring)


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """Yield the numbers of a process's descriptors, and what they refer to."""
    folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):  # noqa: PTH208
            with suppress(FileNotFoundError):
                yield name, os.readlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def program_name(pid: int) -> str:
    """Return the short name of a process, or ``?`` once it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "?"


@contextmanager
def borrowed(holder: Holder) -> Iterator[socket.socket]:
    """Borrow the holder's socket as a duplicate, for as short a time as possible.

    Args:
        holder: where the socket is.

    Yields:
        The socket; closed again at the end.

    Raises:
        SocketGoneError: the process or its descriptor is gone.
        RebindError: the process may not be traced.
    """
    with duplicate(holder) as sock:
        yield sock


def duplicate(holder: Holder) -> socket.socket:
    """Return a duplicate of the holder's socket.

    It shares file status flags with the program: never call ``setblocking()`` or ``settimeout()`` on it.
    While it is open the program's own ``close()`` ends nothing.

    Raises:
        SocketGoneError: the process or its descriptor is gone.
        RebindError: the process may not be traced, or we have too many descriptors open.

    Source: pidfd_open(2), pidfd_getfd(2).
    """
    try:
        pidfd = os.pidfd_open(holder.pid)
    except ProcessLookupError as error:
        raise SocketGoneError(f"process {holder.pid} is gone") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # gone as well, to older kernels, while its session or group goes on
            raise SocketGoneError(f"process {holder.pid} is gone") from error
        raise RebindError(f"process {holder.pid} can't be reached: {error.strerror}") from error
    try:
        descriptor = _libc.syscall(_PIDFD_GETFD, pidfd, holder.descriptor, 0)
    finally:
        os.close(pidfd)
    if descriptor < 0:
        number = ctypes.get_errno()
        if number == errno.EPERM:
            raise RebindError(f"process {holder.pid} may not be traced (is CAP_SYS_PTRACE there?)")
        if number not in (errno.EBADF, errno.ESRCH):
            raise RebindError(f"the socket of process {holder.pid} can't be borrowed: {os.strerror(number)}")
        raise SocketGoneError(f"process {holder.pid} closed descriptor {holder.descriptor}")
    return socket.socket(fileno=descriptor)
