"""The client of a terminal: the user's screen and keys at one end, a stream to the holder at the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

from migrated.streams.network import network_changes
from migrated.terminal.advice import again
from migrated.terminal.console import Console
from migrated.terminal.escape import HELP, EscapeKeys, Wish
from migrated.terminal.messages import (
    DATA_MAX,
    HOLDER_DECODER,
    Attach,
    Attached,
    Detach,
    Detached,
    Exited,
    FromClient,
    Input,
    Output,
    Resize,
    TerminalProtocolError,
    encode,
    receive,
)
from migrated.terminal.modes import Modes
from sessionlayer.aio import Closed, Resumed, StreamEvent, StreamSession, Suspended

FAILED: Final = 255
"""Exit status when it is not the program's. Source: ssh(1)."""

_BELL: Final = b"\a"
_NO_TITLE: Final = frozenset({"", "dumb", "linux"})
_PUSH_TITLE: Final = b"\x1b[22;2t"
_POP_TITLE: Final = b"\x1b[23;2t"
_NOTE_EVERY_S: Final = 1.0
_UNFINISHED: Final = re.compile(
    rb"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?|[\xc0-\xff][\x80-\xbf]{0,2})\Z"
)
_LONGEST_SEQUENCE: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How it ended: the exit status, and what the user is to be told."""

    status: int
    message: str = ""


class Client:
    """One attachment, from the client's side.

    Args:
        console: the user's terminal.
        session: the stream's session.
        reader: what the holder says.
        writer: where to answer.
        host: the other host, as its user calls it.
        options: what the user typed before it to get there.
        terminal_kind: ``TERM``.
        hint: returns what is known of why there is no connection, if anything.
    """

    def __init__(
        self,
        console: Console,
        session: StreamSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        host: str,
        options: Sequence[str],
        terminal_kind: str,
        hint: Callable[[], str],
    ) -> None:
        self._console = console
        self._session = session
        self._reader = reader
        self._writer = writer
        self._host = host
        self._options = options
        self._hint = hint
        self._titled = terminal_kind not in _NO_TITLE
        self._loop = asyncio.get_running_loop()
        self._name = ""
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._screen = asyncio.Lock()
        self._modes = Modes()
        self._last = b""
        self._here, self._away = asyncio.Event(), asyncio.Event()
        self._note: asyncio.Task[None] | None = None
        self._why_closed = ""

    async def run(self) -> End:
        """Attach, and carry keys and output until it ends; the user's terminal is as before then.

        Raises:
            OSError: the user's terminal is gone.
        """
        self._session.on_event(self._on_event)
        rows, columns = self._console.size
        self._send(Attach(rows=rows, columns=columns))
        first = await self._receive_first()
        if isinstance(first, End):
            return first
        self._name = first
        with self._console.raw(), network_changes(self._session.retry_now):
            return await self._carry()

    def resized(self) -> None:
        """Say that the user's window has another size."""
        rows, columns = self._console.size
        self._send(Resize(rows=rows, columns=columns))

    def leave(self, message: str = "", status: int = 0) -> None:
        """End the client; the terminal stays."""
        back = again(self._host, self._options, "--attach", self._name)
        advice = f"`{self._name}` runs on; `{back}` comes back to it"
        self._finish(End(status=status, message=message or advice))

    async def _receive_first(self) -> str | End:
        try:
            match await receive(self._reader, HOLDER_DECODER):
                case Attached(name=name):
                    return name
                case Detached(reason=reason):
                    return End(status=FAILED, message=reason)
                case _:
                    return End(status=FAILED, message=f"`{self._host}` closed the connection")
        except (ConnectionError, TerminalProtocolError) as error:
            return End(status=FAILED, message=f"`{self._host}`: {error}")

    async def _carry(self) -> End:
        tasks = [self._task(self._show_output()), self._task(self._read_keys())]
        try:
            end = await self._end
        finally:
            for task in [*tasks, *([self._note] if self._note else [])]:
                task.cancel()
            await asyncio.wait(tasks)
        await self._tidy(end)
        return end

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work``; what it raises ends the client."""

        def check(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None and not self._end.done():
                self._end.set_exception(error)

        task = asyncio.create_task(work)
        task.add_done_callback(check)
        return task

    async def _tidy(self, end: End) -> None:
        """Undo what programs did to the user's terminal, and say good-bye to the holder."""
        self._send(Detach())
        undo = self._modes.undo() + b"\x1b[m" + (_POP_TITLE if self._note is not None else b"")
        with contextlib.suppress(OSError):
            await self._console.write(undo + (b"\r\n" if end.message else b""))

    async def _show_output(self) -> None:
        try:
            while (message := await receive(self._reader, HOLDER_DECODER)) is not None:
                match message:
                    case Output(data=data):
                        await self._draw(data)
                    case Exited(status=status):
                        self._finish(End(status=status))
                        return
                    case Detached(reason=reason):
                        self._finish(
                            End(status=FAILED, message=f"`{self._name}` on `{self._host}`: {reason}")
                        )
                        return
                    case Attached():
                        raise TerminalProtocolError("attached twice")
                    case _:
                        assert_never(message)
            self._finish(self._broken("the connection was closed"))
        except (ConnectionError, TerminalProtocolError) as error:
            self._finish(self._broken(str(error)))

    def _broken(self, reason: str) -> End:
        reason = self._why_closed or reason
        advice = f"`{again(self._host, self._options, '--list')}` says what is there"
        return End(status=FAILED, message=f"lost `{self._name}` on `{self._host}`: {reason}; {advice}")

    async def _draw(self, data: bytes) -> None:
        async with self._screen:
            self._modes.feed(data)
            self._last = (self._last + data)[-_LONGEST_SEQUENCE:]
            await self._console.write(data)

    async def _read_keys(self) -> None:
        keys = EscapeKeys()
        while typed := await self._console.read():
            for part in keys.feed(typed):
                if isinstance(part, Wish):
                    await self._fulfil(part)
                else:
                    await self._type(part)
        self.leave(status=FAILED)

    async def _fulfil(self, wish: Wish) -> None:
        match wish:
            case Wish.LEAVE:
                self.leave()
            case Wish.HELP:
                await self._draw(f"~?\r\n{HELP}".encode())
            case Wish.STOP:
                self._console.give_back()
                os.kill(os.getpid(), signal.SIGTSTP)
                self._console.take()
                self._session.retry_now()
                self.resized()
            case _:
                assert_never(wish)

    async def _type(self, data: bytes) -> None:
        for begin in range(0, len(data), DATA_MAX):
            if not await self._may_type():
                await self._draw(_BELL)
                return
            self._send(Input(data=data[begin : begin + DATA_MAX]))

    async def _may_type(self) -> bool:
        """Wait until the stream takes more; beyond that, typing without a network is refused, with a bell.

        Waiting for the network instead would keep the escape keys from being heard.
        """
        drained = asyncio.ensure_future(self._writer.drain())
        away = asyncio.ensure_future(self._away.wait())
        try:
            await asyncio.wait({drained, away}, return_when=asyncio.FIRST_COMPLETED)
            return drained.done() and drained.exception() is None
        finally:
            drained.cancel()
            away.cancel()

    def _send(self, message: FromClient) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def _finish(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)

    def _on_event(self, event: StreamEvent) -> None:
        match event:
            case Suspended():
                self._here.clear()
                self._away.set()
                if self._note is None and self._titled:
                    self._note = self._task(self._take_note(self._loop.time()))
            case Resumed():
                self._away.clear()
                self._here.set()
            case Closed(reason=reason):
                self._why_closed = reason
            case _:
                assert_never(event)

    async def _take_note(self, since: float) -> None:
        """Say in the window's title for how long the network has been gone, until it is back."""
        await self._put(_PUSH_TITLE)
        while self._away.is_set():
            state = f"suspended for {int(self._loop.time() - since)} s"
            words = "; ".join(filter(None, (state, self._hint(), "~. to leave")))
            await self._put(f"\x1b]2;{self._host}: {words}\a".encode())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._here.wait(), _NOTE_EVERY_S)
        await self._put(_POP_TITLE)
        self._note = None

    async def _put(self, sequence: bytes) -> None:
        """Write a sequence of our own, unless the program's last one is not complete yet."""
        async with self._screen:
            if not _UNFINISHED.search(self._last):
                await self._console.write(sequence)
