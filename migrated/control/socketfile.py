"""The files of the daemon's Unix sockets: made, told from leftovers of a dead daemon, and removed."""

from __future__ import annotations

import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from migrated.control.permission import peer_credentials

_PROBE_TIMEOUT_S: Final = 2.0
"""How long a daemon that seems to be there may take to accept; a dead one refuses at once."""


class ControlError(Exception):
    """Say that a socket of the daemon cannot be opened, and what to do."""


def listen_at(path: Path, kind: int, backlog: int, *, name: str) -> socket.socket:
    """Listen at a path, where everybody may connect; what is answered depends on who the kernel says it is.

    Args:
        path: of the socket; its folder is made if it is missing.
        kind: ``SOCK_STREAM`` or ``SOCK_SEQPACKET``.
        backlog: connections that wait to be accepted.
        name: what it is, for messages.

    Raises:
        ControlError: another daemon has it, or it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path, kind)
        return _bind(path, kind, backlog)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ControlError(f"cannot open the {name} {path}: {reason}; see `runtime_folder`") from error


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a socket's file from another at the same path, or ``None`` if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def remove_if(path: Path, ours: tuple[int, int] | None) -> None:
    """Remove a socket's file if it is still the one of this identity."""
    if ours is not None and identity(path) == ours:
        path.unlink()


def _bind(path: Path, kind: int, backlog: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        sock.bind(str(path))
        path.chmod(0o666)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path, kind: int) -> None:
    """Remove the socket of a daemon that died.

    Raises:
        ControlError: a daemon listens there, or it is no socket.
        OSError: it cannot be removed.
    """
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ControlError(f"{path} is not a socket; move it away or choose another `runtime_folder`")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        with suppress(ConnectionRefusedError):
            probe.connect(str(path))
            pid = peer_credentials(probe).pid
            raise ControlError(f"another daemon is running (pid {pid}) and has {path}; stop it first")
    path.unlink()
