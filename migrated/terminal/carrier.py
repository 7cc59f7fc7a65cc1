"""Transports that ssh carries, for hosts of which nothing but the ssh port can be reached.

Each transport is an ssh of its own; on the far side `relay` joins it to the holder. Only the first of them
logs in. It is the master of a connection that the others share, so that whoever has to type a password does
so once. When its transport is given up, which is how the loss of the network shows, the next one logs in
anew, and is the master of those after it.

Nobody can be asked for a password while the terminal is in use: a new login has to do without.

Source: ssh(1); ssh_config(5), ``ControlMaster``, ``ServerAliveInterval``, ``BatchMode``.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from migrated.log import printable
from migrated.terminal.bootstrap import (
    SETTINGS,
    BootstrapError,
    Far,
    far_command,
    find_answer,
    no_ssh,
    why_silent,
)
from migrated.terminal.child import Child, await_end, end
from migrated.terminal.relay import CONNECTED, WISH
from migrated.terminal.requests import Answer, Ready, Request, encode

LOGIN_S: Final = 10.0
"""Seconds that a login without a person may take, after which the network is assumed to be gone again."""

SHARED_S: Final = 5.0
"""Seconds until the far side of a transport is there that needs no login."""

IN_VAIN_S: Final = 30.0
"""Seconds between logins that were denied, or found no holder: hosts lock out whoever tries too often."""

SPACING_FIRST_S: Final = 0.5
SPACING_MAX_S: Final = 10.0
"""Seconds between logins that succeed and don't help: twice as many each time, as each is in the host's log.

One that lasted for twice as long has helped.
"""

_COMPLAINT_MAX: Final = 200
_SSH_FAILED: Final = 255
_OF_THE_FAR_SIDE: Final = range(1, _SSH_FAILED)
"""Exit statuses that are not ssh's own. Source: ssh(1), "EXIT STATUS"."""

# ssh takes the first value that it finds for an option, so these go before those of the user. The numbers
# make an ssh whose network is gone end after three seconds, also where nobody is left to end it.
_SHARED: Final = (
    "-o", "ControlMaster=auto",
    "-o", "ControlPersist=no",
    "-o", "ServerAliveInterval=1",
    "-o", "ServerAliveCountMax=3",
)  # fmt: skip
_UNATTENDED: Final = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=3")
_DENIED: Final = ("Permission denied", "verification failed", "Too many authentication failures")


class Carrier:
    """Logs in at another host, and dials a stream's transports there.

    A context manager: no ssh is left when it is closed. Should this process be killed, each ssh sees its
    standard input end.

    Args:
        far: the other host.
    """

    def __init__(self, far: Far) -> None:
        self._far = far
        self._folder = tempfile.TemporaryDirectory(prefix="migrate-ssh-")
        self._paths = 0
        self._port = 0
        self._login: Child | None = None
        self._master: Child | None = None
        self._children: list[Child] = []
        self._turn = asyncio.Lock()
        self._not_before = self._logged_in = float("-inf")
        self._spacing_s = SPACING_FIRST_S
        self._complaint = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: Request) -> Answer:
        """Have a request done, with whatever ssh has to ask the user, and keep the login for a transport.

        Raises:
            BootstrapError: ssh can't log in, or there is no `migrate`, or another release of it.
        """
        try:
            child = self._start("serve", attended=True)
        except FileNotFoundError as error:
            raise no_ssh() from error
        try:
            child.sock.sendall(encode(request))
            with child.sock.makefile("rb") as lines:
                answer = find_answer(self._far, lines)
        except ConnectionError:  # it has ended
            answer = None
        if answer is None:
            child.sock.close()
            raise BootstrapError(why_silent(self._far, child.process.wait()))
        if isinstance(answer, Ready):
            self._login, self._port = child, answer.port
        return answer

    async def dial(self) -> socket.socket:
        """Return a new transport to the holder, as `sessionlayer.aio.connect` wants it.

        Raises:
            OSError: there is none to be had now.
        """
        self._children = [child for child in self._children if not child.drop_closed()]
        async with self._turn:
            if self._master is None or not self._master.carries:
                self._master = await self._log_in()
                return self._master.sock
            shared = self._master.path
        child = self._start(f"relay {self._port}", shared)
        await self._joined(child, SHARED_S)
        return child.sock

    def hint(self) -> str:
        """Return what the user should know of why there is no connection, if anything."""
        return self._complaint

    def close(self) -> None:
        """End every ssh."""
        end(self._children)
        self._folder.cleanup()

    async def _log_in(self) -> Child:
        """Return the master of a new connection, and with it its transport."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        child, self._login = self._login, None
        if child is None:
            child = self._start(f"relay {self._port}")
        else:
            child.hush()  # the screen belongs to the terminal from now on
            child.sock.setblocking(False)
            with suppress(ConnectionError):  # it has ended, as will be heard
                await loop.sock_sendall(child.sock, WISH)
        await self._joined(child, LOGIN_S)
        self._space_logins(loop.time())
        return child

    def _space_logins(self, now: float) -> None:
        helped = now - self._logged_in > 2 * SPACING_MAX_S
        self._spacing_s = SPACING_FIRST_S if helped else min(2 * self._spacing_s, SPACING_MAX_S)
        self._logged_in, self._not_before = now, now + self._spacing_s

    async def _joined(self, child: Child, within_s: float) -> None:
        """Wait until the far side has reached the holder.

        Raises:
            OSError: it has not.
        """
        try:
            async with asyncio.timeout(within_s):
                await child.hear(CONNECTED)
        except ConnectionError as error:
            child.sock.close()
            await asyncio.to_thread(await_end, [child])
            self._note_failure(child)
            raise ConnectionError(self._complaint or "ssh can't reach it") from error
        except BaseException:
            child.sock.close()
            raise
        self._complaint = ""

    def _note_failure(self, child: Child) -> None:
        """Keep what a person would have to do something about: the network comes back by itself."""
        status, said = child.process.poll(), child.complaints()
        self._complaint = ""
        if status == _SSH_FAILED and any(words in line for words in _DENIED for line in said):
            self._complaint = "ssh can't log in again without asking you: leave, and attach again"
        elif status is not None and status in _OF_THE_FAR_SIDE:
            last = said[-1].removeprefix("Error: ") if said else why_silent(self._far, status)
            self._complaint = printable(last)[:_COMPLAINT_MAX]
        if self._complaint:
            self._not_before = asyncio.get_running_loop().time() + IN_VAIN_S

    def _start(self, words: str, shared: Path | None = None, *, attended: bool = False) -> Child:
        """Start an ssh: one that shares a login by the path ``shared``, or else one that may be shared."""
        if shared is None:
            self._paths += 1
            shared = Path(self._folder.name, str(self._paths))
        command = [
            "ssh",
            *(() if attended else _UNATTENDED),
            *_SHARED,
            *self._far.options,
            *SETTINGS,
            *("-S", str(shared).replace("%", "%%")),
            *("--", self._far.host, far_command(self._far, words)),
        ]
        child = Child(command, shared, attended=attended)
        if not attended:
            child.sock.setblocking(False)
        self._children.append(child)
        return child
