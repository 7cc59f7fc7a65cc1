"""A socket whose bytes travel through a virtual stream.

It is a real socket, one end of a pair: it can be waited for by select(2), has time-outs, makes files and can
be given to C code. What a pair can't do (addresses, TCP's options, errors) is answered here.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from sessionlayer.aio import StreamServer, StreamSession
    from sessionlayer.aio.transport import StreamTransport

Address = tuple[Any, ...]

_OF_LOST: Final = (errno.EPIPE, errno.EBADF)
_OF_TCP: Final = (socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6)


class Home(Protocol):
    """Where stream sockets come from. All but `server` is for the loop's thread."""

    @property
    def server(self) -> StreamServer | None:
        """Return the server that keeps their sessions; ``None`` at the client's end."""

    def carry(self, transport: StreamTransport) -> StreamSocket:
        """Return a new socket of a stream that goes on."""

    def tidy(self) -> None:
        """Give up what is not needed any more after a session has ended."""


@dataclass(slots=True)
class Shared:
    """What all duplicates of a stream socket have in common.

    Attributes:
        local: our address and port, as `socket.socket.getsockname` has it.
        remote: the peer's.
        session: the session that the stream belongs to.
        home: where it comes from.
        purpose: what the connection was opened for.
        failure: why the stream was lost.
        options: of TCP and IP, set by the program; they have no effect.
        sockets: the duplicates.
    """

    local: Address
    remote: Address
    session: StreamSession
    home: Home
    purpose: bytes = b""
    failure: Exception | None = None
    options: dict[tuple[int, int], int | bytes] = field(default_factory=dict)
    sockets: WeakSet[StreamSocket] = field(default_factory=WeakSet)


class StreamSocket(socket.socket):
    """One end of a virtual stream, as a blocking socket. Made by `create_connection` and by accepting.

    Its `family` is ``AF_UNIX``, as it is one end of a socket pair. A stream that is lost, such as one that
    has expired, makes calls fail as a reset TCP connection does, once all that had arrived is read.
    """

    def __init__(
        self,
        family: int = socket.AF_UNIX,
        type: int = socket.SOCK_STREAM,  # noqa: A002 - the name that `socket.socket` has
        proto: int = 0,
        fileno: int | None = None,
    ) -> None:
        super().__init__(family, type, proto, fileno)
        self._shared: Shared | None = None

    @classmethod
    def adopt(cls, end: socket.socket, shared: Shared) -> StreamSocket:
        """Return the stream socket of one end of a pair, which is given up."""
        found = cls(fileno=end.detach())
        found._shared = shared
        shared.sockets.add(found)
        return found

    @property
    def stream_session(self) -> StreamSession:
        """Return the session of the stream; it belongs to another thread's loop."""
        return self._state().session

    @property
    def home(self) -> Home:
        """Return where the stream comes from; for the library."""
        return self._state().home

    @property
    def purpose(self) -> bytes:
        """Return what the connection was opened for."""
        return self._state().purpose

    # --- what a pair has no answer to ---

    def getpeername(self) -> Address:
        """Return the peer's address and port."""
        self._check_open()
        return self._state().remote

    def getsockname(self) -> Address:
        """Return our address and port."""
        self._check_open()
        return self._state().local

    def setsockopt(self, level: int, optname: int, *value: Any) -> None:  # noqa: ANN401 - as socket's
        """Set an option; those of TCP and IP are remembered and have no effect."""
        if level not in _OF_TCP:
            super().setsockopt(level, optname, *value)
            return
        self._check_open()
        self._state().options[level, optname] = value[0]

    def getsockopt(self, level: int, optname: int, *buflen: int) -> Any:  # noqa: ANN401 - as socket's
        """Return an option. ``SO_ERROR`` is that of the stream."""
        if level in _OF_TCP:
            self._check_open()
            return self._state().options.get((level, optname), 0)
        if (level, optname) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self._take_error()
        return super().getsockopt(level, optname, *buflen)

    def dup(self) -> StreamSocket:
        """Return another socket of the same stream."""
        return self.adopt(super().dup(), self._state())

    # --- errors of the stream ---

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive; see `socket.socket.recv`."""
        try:
            data = super().recv(bufsize, flags)
        except OSError as error:
            self._check_lost(error)
            raise
        if not data and bufsize:
            self._check_stream()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Receive into a buffer; see `socket.socket.recv_into`."""
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except OSError as error:
            self._check_lost(error)
            raise
        if not count and memoryview(buffer).nbytes:
            self._check_stream()
        return count

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        """Receive; a stream's peer is always the same, so that there is no address, as with TCP."""
        return self.recv(bufsize, flags), None

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:  # noqa: ANN401
        """Receive into a buffer, with no address."""
        return self.recv_into(buffer, nbytes, flags), None

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401 - any buffer
        """Send; see `socket.socket.send`."""
        try:
            return super().send(data, flags)
        except OSError as error:
            self._check_lost(error)
            raise

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ANN401 - any buffer
        """Send all; see `socket.socket.sendall`."""
        try:
            super().sendall(data, flags)
        except OSError as error:
            self._check_lost(error)
            raise

    def _state(self) -> Shared:
        if self._shared is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._shared

    def _check_open(self) -> None:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _check_lost(self, error: OSError) -> None:
        """Tell whoever uses the socket of a lost stream, or of one that was given up and closed, so."""
        if error.errno in _OF_LOST and self._shared is not None:
            self._check_stream()

    def _check_stream(self) -> None:
        failure = self._state().failure
        if failure is not None:
            raise ConnectionResetError(errno.ECONNRESET, f"the stream was lost: {failure}") from failure

    def _take_error(self) -> int:
        self._check_open()
        state = self._state()
        own = int(super().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        return own or (errno.ECONNRESET if state.failure is not None else 0)
