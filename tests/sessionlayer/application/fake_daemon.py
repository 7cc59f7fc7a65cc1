"""A daemon of whose every word the test decides: a real socket, a script instead of sessions."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sessionlayer.application.channel import close_all
from sessionlayer.application.memory import read_memory, write_memory
from sessionlayer.application.messages import (
    MESSAGE_MAX,
    Answer,
    Denied,
    GetSession,
    Granted,
    Invoke,
    Request,
    ReturnContinuation,
    decode_request,
    encode,
)
from sessionlayer.continuations.codec import decode
from sessionlayer.continuations.codec import encode as encode_continuation
from sessionlayer.continuations.values import Continuation

SESSION = bytes(range(16))
PATIENCE_S = 60.0
"""How long a program may take to say something, which may have to be started first."""

R = TypeVar("R", bound=Request)
T = TypeVar("T")


class FakeDaemon:
    """Listens where a program looks; speaks with the one that it accepted last."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "application.sock")
        self._listener: socket.socket | None = None
        self._program: socket.socket | None = None
        self._earlier: list[socket.socket] = []
        self.received: list[int] = []
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.drop_received()

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)

    def stop(self) -> None:
        # The listener first: a program that is let down looks for another daemon at once.
        for end in (self._listener, self._program, *self._earlier):
            if end is not None:
                end.close()
        self._program = self._listener = None
        Path(self.path).unlink(missing_ok=True)

    def accept(self) -> None:
        assert self._listener is not None
        if self._program is not None:
            self._earlier.append(self._program)
        self._program, _ = self._listener.accept()
        self._program.settimeout(PATIENCE_S)

    def converse(self) -> int:
        """Return the program's end of a new conversation, as a process is started with it."""
        if self._program is not None:
            self._program.close()
        self._program, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._program.settimeout(PATIENCE_S)
        return theirs.detach()

    @contextmanager
    def asked(self, call: Callable[[], T]) -> Iterator[Future[T]]:
        """Make a call in another thread, to be answered in the block; if that fails, nobody is waited for."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(call)
            try:
                yield waiting
            except BaseException:
                if not waiting.done():
                    self.stop()  # else the thread waits for an answer that nobody gives any more
                raise

    def drop_received(self) -> None:
        close_all(self.received)
        self.received = []

    def expect(self, kind: type[R]) -> R:
        """Return the next request, which has to be of this kind; its descriptors are in `received`."""
        if self._program is None:
            self.accept()
        assert self._program is not None
        self.drop_received()
        data, self.received, _, _ = socket.recv_fds(self._program, MESSAGE_MAX, 253)
        while not data:  # a short conversation is over, such as whether there is a daemon
            self.accept()
            data, self.received, _, _ = socket.recv_fds(self._program, MESSAGE_MAX, 253)
        request = decode_request(data)
        assert isinstance(request, kind), request
        return request

    def say(self, answer: Answer, descriptors: Sequence[int] = ()) -> None:
        assert self._program is not None
        socket.send_fds(self._program, [encode(answer)], list(descriptors))

    def grant(self, number: int) -> None:
        self.say(Granted(number=number))

    def grant_session(self, *, session: bytes = SESSION, suspended: bool = False) -> GetSession:
        request = self.expect(GetSession)
        self.say(
            Granted(number=request.number, session=session, peer="192.0.2.1 port 80", suspended=suspended)
        )
        return request

    def take_continuation(self) -> tuple[Continuation, list[int]]:
        """Grant the next continuation, and return it and its descriptors."""
        request = self.expect(ReturnContinuation)
        record = decode(read_memory(self.received[0], MESSAGE_MAX))
        os.close(self.received[0])
        kept, self.received = self.received[1:], []
        self.grant(request.number)
        return record, kept

    def deny_continuation(self, code: str = "quota") -> Continuation:
        request = self.expect(ReturnContinuation)
        record = decode(read_memory(self.received[0], MESSAGE_MAX))
        self.say(Denied(number=request.number, code=code, reason="there is no room"))
        return record

    def invoke(
        self,
        record: Continuation,
        descriptors: Sequence[int],
        *,
        session: bytes = SESSION,
        program: str = "",
    ) -> None:
        """Give a continuation back; the descriptors are closed here."""
        memory = write_memory(encode_continuation(record))
        message = Invoke(session=session, peer="192.0.2.1 port 80", program=program)
        self.say(message, (memory, *descriptors))
        close_all((memory, *descriptors))
