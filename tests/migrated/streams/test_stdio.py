from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from migrated.streams.stdio import CHUNK, Input, Output, nobody_there


async def read_to_the_end(source: Input) -> bytes:
    pieces = []
    while piece := await source.read():
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("blocking", [True, False])
def test_what_goes_into_a_pipe_comes_out(blocking: bool) -> None:
    data = os.urandom(10 * CHUNK)
    there, here = os.pipe()
    for descriptor in (there, here):
        os.set_blocking(descriptor, blocking)

    async def send() -> None:
        output = Output(here)
        await output.write(data)
        output.end()

    async def play() -> None:
        reading = asyncio.create_task(read_to_the_end(Input(there)))
        await send()
        assert await reading == data

    asyncio.run(play())
    assert os.get_blocking(there) is blocking
    assert os.fstat(here)  # it is still taken, by something that is no pipe any more
    os.close(there)
    os.close(here)


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (CHUNK + 1))
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)

    async def play() -> None:
        assert await read_to_the_end(Input(descriptor)) == b"x" * (CHUNK + 1)

    asyncio.run(play())
    os.close(descriptor)


def test_a_socket_that_is_both_input_and_output_ends_one_way_only() -> None:
    ours, theirs = socket.socketpair()
    descriptor = os.dup(ours.fileno())

    async def play() -> None:
        output = Output(descriptor)
        await output.write(b"out")
        output.end()
        theirs.sendall(b"in")
        theirs.shutdown(socket.SHUT_WR)
        assert await read_to_the_end(Input(ours.fileno())) == b"in"

    with ours, theirs:
        asyncio.run(play())
        assert theirs.recv(10, socket.MSG_WAITALL) == b"out"
    os.close(descriptor)


def test_a_reader_that_has_gone_is_an_error() -> None:
    there, here = os.pipe()
    os.close(there)

    async def play() -> None:
        with pytest.raises(BrokenPipeError):
            await Output(here).write(b"x")

    asyncio.run(play())
    os.close(here)


def test_a_read_that_nothing_answers_keeps_no_program_from_ending() -> None:
    there, here = os.pipe()

    async def play() -> None:
        reading = asyncio.create_task(Input(there).read())
        await asyncio.sleep(0)
        reading.cancel()

    asyncio.run(play())
    os.close(here)  # the thread ends its read now, and finds the loop gone


def test_whoever_closes_both_ends_has_gone() -> None:
    source, source_end = os.pipe()
    target_end, target = os.pipe()
    assert not nobody_there(source, target)
    os.write(source_end, b"last words")
    os.close(source_end)
    assert not nobody_there(source, target), "somebody may wait for an answer"
    os.close(target_end)
    assert nobody_there(source, target)
    nothing = os.open(os.devnull, os.O_WRONLY)
    assert nobody_there(source, nothing)
    for descriptor in (source, target, nothing):
        os.close(descriptor)


def test_whoever_closes_the_one_socket_of_both_has_gone() -> None:
    here, there = socket.socketpair()
    with here:
        assert not nobody_there(here.fileno(), here.fileno())
        there.close()
        assert nobody_there(here.fileno(), here.fileno())
