"""What a program may ask the daemon to start: itself, and never more than itself.

Source: unix(7), ``SO_PEERCRED`` and ``SO_PEERGROUPS``; the Migrate paper, section V-C.2.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from sessionlayer.continuations.values import Process

ARGUMENTS_MAX: Final = 1_048_576
"""Bytes of command line and environment: half of what Linux takes with the usual limit of the stack."""

NICE: Final = range(-20, 20)
_ID_END: Final = 2**32 - 1  # one more would mean "leave it as it is" to the kernel, which is the daemon's
_UMASK_MAX: Final = 0o777
_CREDENTIALS: Final = struct.Struct("=3i")
_GROUPS_MAX: Final = 65_536  # NGROUPS_MAX
_SO_PEERGROUPS: Final = 59

_libc = ctypes.CDLL(None, use_errno=True)


class StartRefusedError(Exception):
    """A process may not be started, or can't be; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The program that has returned a continuation: what it was allowed is all that it can ask for."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, connection: socket.socket) -> Sender:
        """Return who is at the other end of a Unix socket, as the kernel vouches for it.

        Raises:
            OSError: the socket is no Unix socket, or is not connected.
        """
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, gid = _CREDENTIALS.unpack(raw)
        return cls(pid=pid, uid=uid % 2**32, gid=gid % 2**32, groups=_peer_groups(connection))


def _peer_groups(connection: socket.socket) -> frozenset[int]:
    """Ask for all groups of the peer, which may be more than Python makes room for."""
    groups = (ctypes.c_uint32 * _GROUPS_MAX)()
    length = ctypes.c_uint32(ctypes.sizeof(groups))
    level, name = socket.SOL_SOCKET, _SO_PEERGROUPS
    if _libc.getsockopt(connection.fileno(), level, name, groups, ctypes.byref(length)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return frozenset(groups[: length.value // ctypes.sizeof(ctypes.c_uint32)])


def check_process(process: Process, sender: Sender) -> None:
    """Refuse a process that is malformed, or more than its sender could start itself.

    Raises:
        StartRefusedError: it is refused.
    """
    _check_form(process)
    if sender.uid == 0:
        return
    if {process.uid, process.euid} != {sender.uid}:
        raise StartRefusedError(
            f"the continuation asks for user {_pair(process.uid, process.euid)}, and it comes from a program "
            f"of user {sender.uid}"
        )
    foreign = {process.gid, process.egid, *process.groups} - {sender.gid, *sender.groups}
    if foreign:
        raise StartRefusedError(
            f"the continuation asks for group {min(foreign)}, which the program that it comes from is not in"
        )


def _pair(real: int, effective: int) -> str:
    return str(real) if real == effective else f"{real} (effectively {effective})"


def _check_form(process: Process) -> None:
    texts = [*process.argv, *process.environment, *process.environment.values(), process.directory]
    if not process.argv or not process.argv[0]:
        raise StartRefusedError("the continuation's command line is empty")
    if any("\0" in text for text in texts):
        raise StartRefusedError("the continuation's command line or environment has a null character in it")
    if any(not name or "=" in name for name in process.environment):
        raise StartRefusedError("the continuation's environment has a name that is empty or has a `=` in it")
    if sum(len(text.encode()) for text in texts) > ARGUMENTS_MAX:
        raise StartRefusedError(
            f"the continuation's command line and environment are longer than {ARGUMENTS_MAX} bytes"
        )
    if not PurePosixPath(process.directory).is_absolute():
        raise StartRefusedError(f"the continuation's directory `{process.directory}` is not absolute")
    _check_numbers(process)


def _check_numbers(process: Process) -> None:
    ids = (process.uid, process.euid, process.gid, process.egid, *process.groups)
    if not all(0 <= number < _ID_END for number in ids):
        raise StartRefusedError("the continuation asks for a user or group whose number can't be")
    if not 0 <= process.umask <= _UMASK_MAX:
        raise StartRefusedError(f"the continuation's umask {process.umask:o} can't be")
    if process.nice not in NICE:
        raise StartRefusedError(f"the continuation's nice value {process.nice} can't be")
    if not all(1 <= number < signal.NSIG for number in process.blocked_signals):
        raise StartRefusedError("the continuation blocks a signal that can't be")
