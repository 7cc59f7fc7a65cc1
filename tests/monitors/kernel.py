"""What scenarios on a real kernel are made of. All of it works in the network namespace that one is in."""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from monitors.events import AddressGone, AddressPresent, Event, LinkGone, LinkState
from monitors.spec import Monitor
from monitors.testing import ConformanceError, Recorder, check_monitor

TRIES = 5

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def ip(*commands: str, family: int = 0) -> None:
    """Run ``ip`` commands in one process. It blocks the event loop, so nothing is read meanwhile.

    ``family``, 4 or 6, is needed where the command itself does not tell it.
    """
    option = [f"-{family}"] if family else []
    subprocess.run(["ip", *option, "-batch", "-"], input="\n".join(commands), text=True, check=True)


def switch(interface: str, *, up: bool) -> None:
    """Set an interface up or down without starting a process."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", interface.encode(), 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", interface.encode(), flags))


def pair() -> None:
    """Make the link that is watched, ``eth0``; ``far`` is the other end of its cable."""
    ip("link add eth0 type veth peer name far", "link set eth0 up", "link set far up")


class Watch:
    """What a running monitor has reported."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def after(self, action: Callable[[], None], wanted: Callable[[Event], bool]) -> Event:
        """Do something and return the first event from then on that is ``wanted``."""
        start = len(self.recorder.events)
        action()
        return await self.recorder.wait_for(wanted, start=start)

    def addresses(self) -> set[AddressPresent]:
        """Return the addresses that exist according to all reports so far."""
        world: dict[tuple[int, str], AddressPresent] = {}
        for event in self.recorder.events:
            if isinstance(event, AddressPresent):
                world[event.index, event.address] = event
            elif isinstance(event, AddressGone):
                del world[event.index, event.address]
        return set(world.values())

    def links(self) -> set[LinkState]:
        """Return the links that exist according to all reports so far."""
        world: dict[int, LinkState] = {}
        for event in self.recorder.events:
            if isinstance(event, LinkState):
                world[event.index] = event
            elif isinstance(event, LinkGone):
                del world[event.index]
        return set(world.values())


@asynccontextmanager
async def watching(monitor: Monitor) -> AsyncIterator[Watch]:
    recorder = Recorder()
    task = asyncio.create_task(monitor.run(recorder))
    try:
        yield Watch(recorder)
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled(), "the monitor failed"


async def check_on_this_kernel(make: Callable[[], Monitor], *, run_s: float) -> Recorder:
    """Check that a monitor keeps the contract, in one of some tries where a step of it took too long.

    The kernel has one lock for the links of all namespaces, and other tests make and remove some meanwhile.
    """
    for _ in range(TRIES - 1):
        try:
            return await check_monitor(make, run_s=run_s)
        except ConformanceError as error:
            if "a step of it took" not in str(error):
                raise
    return await check_monitor(make, run_s=run_s)


def eth0(event: Event, *, usable: bool) -> bool:
    return isinstance(event, LinkState) and event.interface == "eth0" and event.usable is usable


def present(event: Event, address: str, *, usable: bool = True) -> bool:
    return isinstance(event, AddressPresent) and (event.address, event.usable) == (address, usable)


def gone(event: Event, address: str) -> bool:
    return isinstance(event, AddressGone) and event.address == address


def asked(*arguments: str) -> list[dict[str, Any]]:
    """Return what ``ip -json`` answers."""
    answer = subprocess.run(["ip", "-json", *arguments], capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found
