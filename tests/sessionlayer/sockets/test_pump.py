"""What a pump does at times that a test over a network does not hit."""

from __future__ import annotations

import asyncio
import socket

from sessionlayer.sockets.pump import Pump


class Ends(asyncio.Transport):
    """A transport that counts how often its stream was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = 0

    def write_eof(self) -> None:
        self.ends += 1


def test_room_for_more_does_not_end_an_ended_stream_again() -> None:
    async def main() -> int:
        ours, program = socket.socketpair()
        ours.setblocking(False)
        pump, transport = Pump(ours, (), lambda _: None), Ends()
        with program:
            pump.connection_made(transport)
            program.shutdown(socket.SHUT_WR)
            while not transport.ends:  # noqa: ASYNC110 - the pump has nothing to wait for
                await asyncio.sleep(0)
            pump.pause_writing()
            pump.resume_writing()
            for _ in range(10):
                await asyncio.sleep(0)
            pump.connection_lost(None)
        return transport.ends

    assert asyncio.run(main()) == 1
