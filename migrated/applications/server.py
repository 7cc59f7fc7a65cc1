"""The application socket: accepts programs, with bounds on everything that they can grow."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from migrated.applications.client import Client
from migrated.applications.waits import Closer
from migrated.applications.wire import Descriptors
from migrated.continuations.bounds import Sender
from migrated.control.permission import Credentials, peer_credentials
from migrated.control.socketfile import identity, listen_at, remove_if
from sessionlayer.application.messages import Denied, Request

CLIENTS_MAX: Final = 16_384
"""Programs of all ordinary users together; one more is refused. Root and the daemon's user don't count."""

CLIENTS_PER_USER_MAX: Final = 4096
"""Programs of one user, root included; one more is refused."""

ACCEPT_AGAIN_S: Final = 1.0
"""Seconds after which programs are let in again where there was no descriptor left; as asyncio does."""

_BACKLOG: Final = 1024

_log = logging.getLogger(__name__)


class ApplicationServer:
    """A Unix socket that every program may connect to.

    Args:
        path: of the socket.
        on_request: takes what a program asks for; the descriptors are closed when it returns.
        on_gone: told of programs that went away.
    """

    def __init__(
        self,
        path: Path,
        on_request: Callable[[Client, Request, Descriptors], None],
        on_gone: Callable[[Client], None],
    ) -> None:
        self._path = path
        self._on_request = on_request
        self._on_gone = on_gone
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._clients: set[Client] = set()
        self._closer = Closer()

    def start(self) -> None:
        """Open the socket.

        Raises:
            ControlError: another daemon has it, or it can't be made.
        """
        self._listener = listen_at(self._path, socket.SOCK_SEQPACKET, _BACKLOG, name="application socket")
        self._listener.setblocking(False)
        self._identity = identity(self._path)
        self._listen()

    def close(self) -> None:
        """Close the socket and all conversations, and remove the socket's file if it is still ours."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for client in tuple(self._clients):
            client.close()
        remove_if(self._path, self._identity)

    def admit(self, sock: socket.socket, started_as: Sender) -> Client:
        """Let a program speak to us whose end of a socket pair we have made.

        Args:
            sock: our end, non-blocking.
            started_as: the program, as the kernel can't vouch for it here.
        """
        who = Credentials(pid=started_as.pid, uid=started_as.uid, gid=started_as.gid)
        return self._added(Client(sock, who, self._on_request, self._forget, self._closer, started_as))

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it went away meanwhile
            return
        except OSError as error:  # we have no descriptor for it, and would be asked again at once
            _log.warning("a program could not be let in, others wait: %s", error)
            self._pause()
            return
        sock.setblocking(False)
        who = peer_credentials(sock)
        refused = self._too_many(who)
        client = self._added(Client(sock, who, self._on_request, self._forget, self._closer))
        if refused:
            reason = "too many programs speak to the daemon; end some and try again"
            client.tell(Denied(number=0, code="busy", reason=reason))
            client.close()

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._listener is not None
        loop.remove_reader(self._listener)
        loop.call_later(ACCEPT_AGAIN_S, self._listen)

    def _listen(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _added(self, client: Client) -> Client:
        self._clients.add(client)
        return client

    def _too_many(self, newcomer: Credentials) -> bool:
        by_user = Counter(client.who.uid for client in self._clients)
        ordinary = sum(not client.who.privileged for client in self._clients)
        full = not newcomer.privileged and ordinary >= CLIENTS_MAX
        return full or by_user[newcomer.uid] >= CLIENTS_PER_USER_MAX

    def _forget(self, client: Client) -> None:
        self._clients.discard(client)
        self._on_gone(client)
