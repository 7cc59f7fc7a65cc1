"""A client that is attached to a terminal: what it reads, what it types, and how it goes."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, assert_never

from migrated.terminal.held import Terminal
from migrated.terminal.messages import (
    CLIENT_DECODER,
    DATA_MAX,
    Attach,
    Attached,
    Detach,
    Detached,
    Exited,
    FromHolder,
    Input,
    Output,
    Resize,
    TerminalProtocolError,
    encode,
    receive,
)
from migrated.terminal.redraw import redraw
from sessionlayer.aio import Closed, Resumed, StreamEvent, StreamSession, Suspended

_log = logging.getLogger(__name__)

LAG_MAX: Final = 256 * 1024
"""Bytes that a present client may be behind before the shell has to wait; Ctrl-C is heard after them."""

LINGER_S: Final = 3600.0
"""Seconds for which a client that lost its terminal while it was away may come back to hear so."""


class Attachment:
    """One client of one terminal, over one stream.

    Args:
        terminal: the terminal.
        session: the stream's session, which belongs to this client alone.
        reader: what the client says, after its `Attach`.
        writer: where to answer.
    """

    def __init__(
        self,
        terminal: Terminal,
        session: StreamSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._terminal = terminal
        self._session = session
        self._reader = reader
        self._writer = writer
        self._changed = asyncio.Event()
        self._cursor = 0
        self._present = session.state == "connected"
        self._sent_away = False
        self._told_status = False
        self._pump: asyncio.Task[None] | None = None
        session.on_event(self._on_event)

    @property
    def present(self) -> bool:
        """Whether the client's network is there."""
        return self._present

    @property
    def lags(self) -> bool:
        """Whether the client is present and has much to read."""
        return self._present and self._terminal.log.end - self._cursor > LAG_MAX

    def wake(self) -> None:
        """Look for output again."""
        self._changed.set()

    def send_away(self, reason: str) -> None:
        """Send nothing more but the reason, and wait for a while until the client has heard it."""
        self._sent_away = True
        if self._pump is not None:
            self._pump.cancel()
        self._send(Detached(reason=reason))
        asyncio.get_running_loop().call_later(LINGER_S, self._session.abort)

    async def run(self, rows: int, columns: int, *, anew: bool) -> None:
        """Serve the client until it leaves.

        Args:
            rows: height of its window.
            columns: its width.
            anew: whether the terminal has just been started for it, so that nothing needs to be drawn.
        """
        self._terminal.attach(self)
        self._send(Attached(name=self._terminal.name))
        self._pump = asyncio.create_task(self._show(rows, columns, anew=anew))
        try:
            await self._listen()
        except (ConnectionError, TerminalProtocolError) as error:
            _log.info("a client of `%s` is gone: %s", self._terminal.name, error)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        assert self._pump is not None
        self._pump.cancel()
        self._terminal.client_left(self, heard_the_end=False)
        self._session.abort()
        await asyncio.wait([self._pump])
        fault = None if self._pump.cancelled() else self._pump.exception()
        if fault is not None and not isinstance(fault, ConnectionError):
            raise fault

    async def _show(self, rows: int, columns: int, *, anew: bool) -> None:
        """Send output, and the end of the program after it."""
        if not anew:
            await self._draw(rows)
        self._terminal.resize(rows, columns)
        log = self._terminal.log
        while self._cursor < log.end or self._terminal.status is None:
            if self._cursor == log.end:
                self._changed.clear()
                await self._changed.wait()
            elif self._cursor < log.start:
                await self._draw(self._terminal.size[0])
            else:
                await self._send_output(log.read(self._cursor, DATA_MAX))
        self._send(Exited(status=self._terminal.status & 0xFF))
        self._told_status = True

    async def _draw(self, client_rows: int) -> None:
        log = self._terminal.log
        self._cursor = log.end
        picture = await redraw(log, *self._terminal.size, client_rows)
        for begin in range(0, len(picture), DATA_MAX):
            self._send(Output(data=picture[begin : begin + DATA_MAX]))
            await self._writer.drain()

    async def _send_output(self, data: bytes) -> None:
        self._send(Output(data=data))
        await self._writer.drain()
        self._cursor += len(data)
        self._terminal.adjust()

    async def _listen(self) -> None:
        while (message := await receive(self._reader, CLIENT_DECODER)) is not None:
            match message:
                case Input(data=data):
                    if not self._sent_away:
                        await self._terminal.type(data)
                case Resize(rows=rows, columns=columns):
                    if not self._sent_away:
                        self._terminal.resize(rows, columns)
                case Detach():
                    if self._told_status:
                        self._terminal.client_left(self, heard_the_end=True)
                    return
                case Attach():
                    raise TerminalProtocolError("attached twice")
                case _:
                    assert_never(message)

    def _send(self, message: FromHolder) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    def _on_event(self, event: StreamEvent) -> None:
        if isinstance(event, Closed):
            # The reader fails or ends too, but whoever waits for the program to read does not notice that.
            self._present = False
            # A client that has heard of the end says so and closes; the word may be overtaken by the closing.
            heard = self._told_status and event.code == "closed"
            self._terminal.client_left(self, heard_the_end=heard)
            return
        self._present = isinstance(event, Resumed)
        assert isinstance(event, (Resumed, Suspended))
        if self._terminal.client is self:
            self._terminal.client_changed()
