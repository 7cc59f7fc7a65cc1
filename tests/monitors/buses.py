"""A real bus for a test alone, and services on it that speak as those of a real host do."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from dbus_fast.aio import MessageBus
from dbus_fast.constants import MessageType
from dbus_fast.message import Message
from dbus_fast.signature import Variant

from monitors.logind import MANAGER
from monitors.logind import NAME as LOGIND
from monitors.logind import PATH as LOGIND_PATH
from monitors.networkmanager import DEVICE
from monitors.networkmanager import NAME as NETWORK_MANAGER
from monitors.networkmanager import PATH as NETWORK_MANAGER_PATH
from tests.processes import killed_at_last

PROPERTIES = "org.freedesktop.DBus.Properties"

_CONFIGURATION = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def bus_in(folder: Path) -> Iterator[str]:
    """Run dbus-daemon in a folder, and yield its address."""
    socket, configuration = folder / "bus", folder / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(socket=socket))
    command = [
        "dbus-daemon",
        f"--config-file={configuration}",
        "--nofork",
        "--nopidfile",
        "--print-address=1",
    ]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with killed_at_last(started) as daemon:
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()


class FakeService:
    """A well-known name on a bus that answers calls with what `answers` gives.

    ``answers`` gives the types and values of each answer by object, interface and method. Where there are
    none, the answer is an error.
    """

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self.answers: dict[tuple[str, str, str], Callable[..., tuple[str, list[Any]] | None]] = {}
        self.calls: list[str] = []
        self._bus: MessageBus | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def bus(self) -> MessageBus:
        assert self._bus is not None
        return self._bus

    async def start(self) -> None:
        self._bus = await MessageBus(self._address, negotiate_unix_fd=True).connect()
        self._bus.add_message_handler(self._answer)
        if self._name:
            await self._bus.request_name(self._name)

    async def stop(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            self._bus = None

    async def say(
        self, path: str, interface: str, member: str, signature: str, *body: Any, to: str | None = None
    ) -> None:
        signal = Message.new_signal(path, interface, member, signature, list(body))
        signal.destination = to
        await self.bus.send(signal)

    def _answer(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        self.calls.append(str(message.member))
        answer = self.answers.get((str(message.path), str(message.interface), str(message.member)))
        found = answer(*message.body) if answer is not None else None
        if found is None:
            return False
        signature, body = found
        if signature != "h":
            return Message.new_method_return(message, signature, body)
        reply = Message.new_method_return(message, signature, [0], unix_fds=body)
        # It is this program's own, too, until it was sent.
        self.bus.send(reply).add_done_callback(lambda _: os.close(body[0]))
        return True


class FakeNetworkManager(FakeService):
    """The part of NetworkManager that says which devices there are, and what they are.

    As the real one it refuses to say so, ``busy`` times, when it has only just started.
    """

    def __init__(self, address: str) -> None:
        super().__init__(address, NETWORK_MANAGER)
        self.busy = 0
        self.devices: dict[str, dict[str, Variant]] = {}
        self.answers[NETWORK_MANAGER_PATH, NETWORK_MANAGER, "GetDevices"] = self._paths

    def device(self, number: int, interface: str, metered: int, ip_interface: str | None = None) -> str:
        path = f"{NETWORK_MANAGER_PATH}/Devices/{number}"
        self.devices[path] = {
            "Udi": Variant("s", f"/sys/devices/virtual/net/{interface}"),
            "Interface": Variant("s", interface),
            "IpInterface": Variant("s", interface if ip_interface is None else ip_interface),
            "State": Variant("u", 100),
            "Metered": Variant("u", metered),
        }
        self.answers[path, PROPERTIES, "GetAll"] = lambda _: ("a{sv}", [self.devices[path]])
        return path

    def _paths(self) -> tuple[str, list[Any]] | None:
        self.busy -= 1
        return None if self.busy >= 0 else ("ao", [list(self.devices)])

    async def add(self, path: str) -> None:
        await self.say(NETWORK_MANAGER_PATH, NETWORK_MANAGER, "DeviceAdded", "o", path)

    async def remove(self, path: str) -> None:
        del self.devices[path]
        del self.answers[path, PROPERTIES, "GetAll"]
        await self.say(NETWORK_MANAGER_PATH, NETWORK_MANAGER, "DeviceRemoved", "o", path)

    async def change(self, path: str, **values: Variant) -> None:
        self.devices[path] |= values
        await self.say(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", DEVICE, values, [])


class FakeLogind(FakeService):
    """The part of logind that announces sleep, and hands out locks that delay it."""

    def __init__(self, address: str) -> None:
        super().__init__(address, LOGIND)
        self.preparing = False
        self.locks: list[tuple[str, ...]] = []
        self._held: list[int] = []
        self.answers[LOGIND_PATH, PROPERTIES, "Get"] = lambda *_: ("v", [Variant("b", self.preparing)])
        self.answers[LOGIND_PATH, MANAGER, "Inhibit"] = self._inhibit

    async def prepare(self, asleep: bool) -> None:
        self.preparing = asleep
        await self.say(LOGIND_PATH, MANAGER, "PrepareForSleep", "b", asleep)

    async def released(self) -> None:
        """Wait until every lock that was handed out is closed: its pipe has no writer then."""
        loop = asyncio.get_running_loop()
        while self._held:
            ended = loop.create_future()
            loop.add_reader(self._held[0], ended.set_result, None)
            await ended
            loop.remove_reader(self._held[0])
            os.close(self._held.pop(0))

    async def stop(self) -> None:
        await super().stop()
        for end in self._held:
            os.close(end)
        self._held.clear()

    def _inhibit(self, *words: str) -> tuple[str, list[Any]]:
        kept, given = os.pipe2(os.O_CLOEXEC)
        self._held.append(kept)
        self.locks.append(words)
        return "h", [given]


@asynccontextmanager
async def running(monitor_run: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Run a monitor's `run` until the block ends."""
    task = asyncio.create_task(monitor_run)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
