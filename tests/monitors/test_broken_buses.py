"""What becomes of a monitor's connection when whatever listens at the bus's address is no bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_fast.constants import MessageType
from dbus_fast.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.dbus import take_descriptor
from monitors.services import BusError
from tests.monitors.test_dbus import ASK, NAME, PATIENCE_S, descriptors, failure, tell

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a bus is looked for on which there is none yet."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    return tmp_path / "bus"


@asynccontextmanager
async def pretended_bus(place: Path, talk: Talk) -> AsyncIterator[None]:
    """Listen where a bus is looked for, and do with each connection what a test wants."""
    talks: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # asyncio's streams take a cancelled one for a fault
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, place)
    try:
        yield
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Go through the authentication, and read what follows: the call of `Hello`."""
    while not (line := await reader.readuntil(b"\r\n")).endswith(b"BEGIN\r\n"):
        writer.write(b"OK 1234\r\n" if b"AUTH" in line else b"AGREE_UNIX_FD\r\n")
    await reader.read(4096)


def reply(signature: str = "s", *body: Any, serial: int = 1) -> bytes:
    message = Message(
        message_type=MessageType.METHOD_RETURN,
        reply_serial=serial,
        sender="org.freedesktop.DBus",
        signature=signature,
        body=list(body),
        serial=7,
    )
    return bytes(message._marshall(False))


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def babble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\xff\xfe\r\n")
    await writer.drain()


async def chatter(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def hang_after_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    await reader.read()


async def hang_after_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    writer.write(reply("s", ":1.1"))
    await reader.read(1)
    await asyncio.Event().wait()


async def close_in_mid_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    writer.write(reply("s", ":1.1")[:-3])
    await writer.drain()


async def close_after_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    writer.write(reply("s", ":1.1") + reply("s", ":1.1")[:20])
    await writer.drain()


async def promise_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    writer.write(b"l\2\1\1" + b"\xff\xff\xff\x7f" * 3)
    await reader.read()


async def answer_with_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await greet(reader, writer)
    writer.write(reply(""))
    await reader.read()


@pytest.mark.parametrize(
    "talk",
    [
        hang,
        hang_up,
        babble,
        chatter,
        hang_after_greeting,
        hang_after_hello,
        close_in_mid_message,
        close_after_hello,
        promise_much,
        answer_with_nothing,
    ],
)
def test_a_bus_that_is_none(place: Path, talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with pretended_bus(place, talk):
            why = await failure()
            assert "system bus" in why or "DBus" in why
            with pytest.raises(BusError):
                await asyncio.wait_for(take_descriptor(NAME, ASK, limit_s=0.2), PATIENCE_S)

    tell(story())
    place.unlink(missing_ok=True)
    before = descriptors()
    tell(story())
    assert descriptors() == before
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@settings(max_examples=30)
@given(noise=st.binary(min_size=1, max_size=200), greeted=st.booleans())
def test_whatever_a_bus_says_it_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, greeted: bool
) -> None:
    place = tmp_path_factory.mktemp("noise") / "bus"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if greeted:
            await greet(reader, writer)
        writer.write(noise)
        await writer.drain()

    async def story() -> None:
        async with pretended_bus(place, talk):
            await failure(limit_s=5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={place}")
        tell(story())


def test_a_wait_for_the_bus_can_be_cancelled(place: Path) -> None:
    async def story() -> None:
        async with pretended_bus(place, hang):
            task = asyncio.create_task(failure(limit_s=PATIENCE_S * 2))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    tell(story())
