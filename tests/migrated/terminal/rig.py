"""A holder, a network that can be cut, clients with a screen, and a clock that can be moved on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from migrated.terminal.attach import Destination, attach
from migrated.terminal.client import End
from migrated.terminal.holder import Holder, HolderOptions
from migrated.terminal.place import Place
from migrated.terminal.requests import Open, Ready
from sessionlayer.protocol.keys import HostKey
from tests.migrated.terminal.emulator import Emulator

T = TypeVar("T")
ROWS, COLUMNS = 10, 60
PATIENCE_S = 60.0
ENVIRONMENT = {"PATH": os.defpath, "HOME": "/", "SHELL": "/bin/sh", "PS1": "$ ", "TERM": "xterm", "ENV": ""}


class MovableClock(asyncio.SelectorEventLoop):
    """An event loop whose clock can be moved on."""

    skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self.skipped_s

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self.skipped_s += seconds


def clock() -> MovableClock:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovableClock)
    return loop


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a test in a loop whose clock can be moved on."""
    with asyncio.Runner(loop_factory=MovableClock) as runner:
        return runner.run(work())


async def until(holds: Callable[[], bool], what: Callable[[], object] = lambda: "") -> None:
    """Wait until something holds."""
    patience = int(PATIENCE_S / 0.01)
    for _ in range(patience):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(what())


class Wire:
    """The network between clients and a holder: a relay that can hold everything back."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def lead_to(self, port: int) -> None:
        """Carry what is connected from now on to another port."""
        self._target = port

    def cut(self) -> None:
        """Carry nothing any more, and say nothing of it."""
        self._open.clear()

    def plug(self) -> None:
        """Carry again; what was under way is lost with its connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._open.set()

    async def close(self) -> None:
        self._server.close()
        self.plug()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            there, away = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, away}
            async with asyncio.TaskGroup() as group:
                group.create_task(self._one_way(reader, away))
                group.create_task(self._one_way(there, writer))

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()


class Person:
    """Somebody at a terminal of their own, who started `migrate ssh`."""

    def __init__(self, rig: Rig, ready: Ready, identity: HostKey, rows: int, columns: int) -> None:
        self._master, self.slave = os.openpty()
        os.set_blocking(self._master, False)
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self._emulator = Emulator(rows, columns)
        self.raw = b""
        self.stopped = False
        asyncio.get_running_loop().add_reader(self._master, self._look)
        shifted = Ready(name=ready.name, port=rig.wire.port, key=ready.key)
        destination = Destination(host="far", ready=shifted, addresses=["127.0.0.1"])
        self.client = asyncio.create_task(attach(destination, identity, self.slave))

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    @property
    def lines(self) -> list[str]:
        """What is on the screen and in its history."""
        return self._emulator.lines

    @property
    def display(self) -> list[str]:
        return self._emulator.display

    async def sees(self, line: str) -> None:
        await until(lambda: line in self.lines, lambda: (line, self.lines, self.client))

    async def prompted(self) -> None:
        """Wait for the shell's prompt."""
        await until(lambda: not {"$", "#"}.isdisjoint(self.lines), lambda: (self.lines, self.client))

    async def end(self) -> End:
        async with asyncio.timeout(PATIENCE_S):
            return await self.client

    def stop_looking(self) -> None:
        """Read nothing any more."""
        asyncio.get_running_loop().remove_reader(self._master)

    def look_again(self) -> None:
        asyncio.get_running_loop().add_reader(self._master, self._look)

    def close(self) -> None:
        self.stop_looking()
        os.close(self._master)
        os.close(self.slave)

    def _look(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._master, 65536)
            self.raw += data
            self._emulator.feed(data)


class Rig:
    """A holder in a folder, and people."""

    def __init__(self, folder: Path, *, log_bytes: int = 4 << 20) -> None:
        self.place = Place(folder=folder / "t", host="h")
        self.place.prepare()
        self.idle = 0
        self.holder = Holder(self.place, HolderOptions(ports=(0,), log_bytes=log_bytes), self._count_idle)
        self._people: list[Person] = []

    async def __aenter__(self) -> Self:
        await self.holder.start()
        self.wire = Wire(self.holder.port)
        await self.wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for person in self._people:
            person.client.cancel()
            await asyncio.wait([person.client])
            person.close()
        await self.wire.close()
        await self.holder.close()
        await until(lambda: self.holder.idle)

    async def person(
        self, *, attach: str = "", command: str = "", rows: int = ROWS, columns: int = COLUMNS, **more: Any
    ) -> Person:
        """Let somebody come, to a new terminal or to one that is there."""
        identity = HostKey.generate(os.urandom)
        request = Open(
            client_key=identity.public_bytes,
            name=attach or more.pop("name", "one"),
            attach=bool(attach),
            command=command,
            environment=ENVIRONMENT | more.pop("environment", {}),
            **more,
        )
        ready = await self.holder.answer(request)
        assert isinstance(ready, Ready), ready
        person = Person(self, ready, identity, rows, columns)
        self._people.append(person)
        return person

    def _count_idle(self) -> None:
        self.idle += 1
