"""The daemon's side of the custodian: what has to outlive the daemon, said once and made true.

The daemon has descriptors of its own of everything that is in custody, so that nothing but its next start
depends on the custodian. What should be there is known here by name: a custodian that dies is replaced, and
the new one is given all of it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from migrated.applications.wire import BrokenMessageError, Descriptors, receive, send
from migrated.control.permission import peer_credentials
from migrated.control.socketfile import ControlError, listen_at
from migrated.custody import custodian
from migrated.custody.custodian import ALL, DROP, END, HELD, KEEP, LISTENER, LOST

SOCKET_NAME: Final = "custody.sock"

ANSWER_S: Final = 5.0
"""Seconds that a custodian has for each part of its answer when the daemon starts."""

AGAIN_S: Final = 5.0
"""Seconds between two attempts to start a custodian."""


class Custody:
    """Descriptors that the next daemon gets if this one dies.

    Args:
        path: of the custodian's socket.
        amiss: called with what people should know: what would be lost with the daemon, and why.

    Attributes:
        pid: of the custodian; 0 for none.
    """

    def __init__(self, path: Path, amiss: Callable[[str], None]) -> None:
        self._path = path
        self._amiss = amiss
        self._held: dict[bytes, tuple[int, ...]] = {}
        self._untold: dict[bytes, None] = {}
        self._sock: socket.socket | None = None
        self._again_at = 0.0
        self._children: set[int] = set()
        self.pid = 0

    def take_back(self) -> dict[bytes, Descriptors]:
        """Return duplicates of what daemons before have left in custody, by name; all of it stays there.

        Call it once, before everything else; it waits for the answer. As with `keep`, the caller keeps the
        descriptors open until their names are dropped.
        """
        found: dict[bytes, Descriptors] = {}
        try:
            sock = _connected(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            return found  # nothing was left
        except OSError as error:
            self._amiss(f"what is in custody can't be had: {error}")
            return found
        try:
            self._ask(sock, found)
        except (BrokenMessageError, OSError) as error:
            self._amiss(f"what is in custody can't be had, or not all of it: {error}")
        self._use(sock)
        return found

    def keep(self, name: bytes, numbers: Sequence[int]) -> None:
        """Give descriptors into custody, in place of others of that name.

        Args:
            name: at most 255 bytes.
            numbers: the caller's, who keeps them open until the name is dropped or has others.
        """
        if not numbers:
            self.drop(name)
            return
        self._held[name] = tuple(numbers)
        self._untold[name] = None
        self._tell()

    def held(self, name: bytes) -> tuple[int, ...]:
        """Return the caller's descriptors that have this name in custody."""
        return self._held.get(name, ())

    def drop(self, name: bytes) -> None:
        """Have nothing of that name in custody. The descriptors can be closed right after."""
        if self._held.pop(name, None) is not None:
            self._untold[name] = None
            self._tell()

    def check(self) -> None:
        """Do again what was in vain; call it now and then."""
        self._reap()
        if self._untold:
            self._tell()

    def close(self) -> None:
        """Leave everything to the custodian, and to the next daemon."""
        self._disconnect()

    def _ask(self, sock: socket.socket, found: dict[bytes, Descriptors]) -> None:
        send(sock, ALL)
        while True:
            data, descriptors = receive(sock)
            what, name = data[:1], data[1:]
            if what == END:
                self.pid = int(name)
                return
            if what != HELD:
                raise ConnectionAbortedError("the custodian has ended")
            found[name] = descriptors
            self._held[name] = descriptors.numbers

    # Telling.

    def _tell(self) -> None:
        """Tell the custodian what has changed, as far as it takes it now."""
        while self._untold and self._is_there():
            assert self._sock is not None
            name = next(iter(self._untold))
            numbers = self._held.get(name, ())
            try:
                send(self._sock, (KEEP if numbers else DROP) + name, numbers)
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._sock, self._tell)
                return
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS:  # too much is on its way at once, which passes
                    self._gone()
                return
            del self._untold[name]
        if self._sock is not None:
            asyncio.get_running_loop().remove_writer(self._sock)

    def _is_there(self) -> bool:
        """Return whether a custodian is there; start one if it is needed."""
        if self._sock is not None:
            return True
        now = asyncio.get_running_loop().time()
        if not self._held:
            self._untold.clear()  # nothing has to be dropped where there is nothing
        elif now >= self._again_at:
            self._again_at = now + AGAIN_S
            try:
                self._start()
            except (ControlError, OSError) as error:
                self._amiss(f"what is open for suspended sessions would be lost with the daemon: {error}")
        return self._sock is not None

    def _start(self) -> None:
        """Start a custodian. Its socket takes messages before it runs.

        Raises:
            ControlError: its socket can't be made.
            OSError: it can't be started.
        """
        with listen_at(self._path, socket.SOCK_SEQPACKET, 1, name="custody socket") as listener:
            self._path.chmod(0o600)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", custodian.__file__, str(self._path.absolute())],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                    (os.POSIX_SPAWN_DUP2, listener.fileno(), LISTENER),
                ],
                setsid=True,
                setsigmask=(),
            )
            self._children.add(pid)
            self._use(_connected(self._path))
            self.pid = pid

    # Hearing.

    def _use(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock, self._hear)

    def _hear(self) -> None:
        assert self._sock is not None
        try:
            data, descriptors = receive(self._sock)
        except BlockingIOError:
            return
        except (BrokenMessageError, OSError):
            data, descriptors = b"", Descriptors()
        descriptors.close()
        if data[:1] == LOST:
            self._amiss(
                f"what is open for the suspended session {data[1:].hex()[:8]} would be lost with the daemon: "
                f"the custodian (pid {self.pid}) may not have more open; see `LimitNOFILE`"
            )
        elif not data:
            self._gone()

    def _gone(self) -> None:
        """Take in that the custodian is gone: another one is given everything."""
        self._disconnect()
        self._untold = dict.fromkeys(self._held)
        if self._untold:
            self._amiss("the process that keeps descriptors for the next daemon has ended; it is replaced")
            self._tell()

    def _disconnect(self) -> None:
        if self._sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._sock)
            loop.remove_writer(self._sock)
            self._sock.close()
            self._sock = None
            self.pid = 0

    def _reap(self) -> None:
        """Take in the end of processes of ours; they outlive us otherwise."""
        for pid in tuple(self._children):
            ended = pid
            with suppress(ChildProcessError):
                ended, _ = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)


def _connected(path: Path) -> socket.socket:
    """Return a socket to the custodian.

    Raises:
        OSError: there is none, or it is another user's.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(ANSWER_S)
        sock.connect(str(path))
        if (uid := peer_credentials(sock).uid) != os.geteuid():
            raise PermissionError(f"user {uid} listens at {path}")
    except OSError:
        sock.close()
        raise
    return sock
