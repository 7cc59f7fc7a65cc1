"""The gps-zone monitor beside the real gpsd, whose receiver is a terminal into which a test writes NMEA."""

from __future__ import annotations

import asyncio
import importlib
import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from types import ModuleType

import pytest

from monitors.events import FactMeasured
from monitors.testing import Recorder

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "gps_zone"
GPSD = shutil.which("gpsd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE_S = 30.0

# Kiel, 54°19.2' N 10°08.4' E, and a place at sea.
IN_PORT = ("5419.200,N,01008.400,E", "000.5")
AT_SEA = ("5500.000,N,01100.000,E", "020.0")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(GPSD is None, reason="there is no gpsd")]


def sentence(body: str) -> bytes:
    """Return an NMEA 0183 sentence with its checksum."""
    checksum = reduce(lambda a, b: a ^ b, body.encode())
    return f"${body}*{checksum:02X}\r\n".encode()


class Receiver:
    """A receiver that says twice a second where it is."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        self._theirs = theirs
        self.place = IN_PORT
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _talk(self) -> None:
        second = 0
        while not self._ended.wait(0.5):
            second += 1
            time = f"12{second // 60 % 60:02}{second % 60:02}.00"
            where, knots = self.place
            os.write(self._ours, sentence(f"GPGGA,{time},{where},1,08,0.9,10.0,M,45.0,M,,"))
            os.write(self._ours, sentence(f"GPRMC,{time},A,{where},{knots},090.0,010124,,,A"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@contextmanager
def gpsd(device: str) -> Iterator[int]:
    """Run gpsd; return its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert GPSD is not None
    process = subprocess.Popen([GPSD, "-N", "-n", "-S", str(port), device])
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    yield importlib.import_module("gps_zone")
    del sys.modules["gps_zone"]


def test_it_follows_what_gpsd_says(receiver: Receiver, plugin: ModuleType) -> None:
    async def reached(name: str, recorder: Recorder) -> None:
        await recorder.wait_for(
            lambda event: (
                isinstance(event, FactMeasured) and (event.fact, event.value) == ("gps-zone.zone", name)
            ),
            timeout_s=PATIENCE_S,
        )

    async def story(port: int) -> None:
        zones = {"port": plugin.Zone(latitude=54.32, longitude=10.14, radius=500.0)}
        monitor, recorder = plugin.GpsZoneMonitor(plugin.Settings(port=port, zones=zones)), Recorder()
        task = asyncio.create_task(monitor.run(recorder))
        await reached("port", recorder)
        receiver.place = AT_SEA
        await reached("elsewhere", recorder)
        measured = [event for event in recorder.events if isinstance(event, FactMeasured)]
        slow = next(event.value for event in measured if event.fact == "gps-zone.speed")
        assert slow == pytest.approx(0.257, abs=0.01)  # half a knot
        task.cancel()
        await asyncio.wait({task})

    with gpsd(receiver.path) as port:
        asyncio.run(ready(port))
        asyncio.run(story(port))


async def ready(port: int) -> None:
    """Wait until gpsd listens."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
