from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast.message import Message
from dbus_fast.signature import Variant

from monitors import dbus
from monitors.dbus import Service, take_descriptor
from monitors.services import BusError, Call, News, Ownership, RefusedError, Signal, Wanted
from tests.monitors.buses import FakeService, bus_in

NAME = "org.example.Weather"
PATH = "/org/example/Weather"
RAINS = Wanted(interface=NAME, member="Rains", signature="bs")
ASK = Call(path=PATH, interface=NAME, member="Ask", signature="s", body=("rain?",), answer="as")
PATIENCE_S = 60.0


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with bus_in(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a bus is looked for on which there is none yet."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")
    return tmp_path / "bus"


def tell(story: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(story, PATIENCE_S))


def descriptors() -> int:
    """Return how many are open, without what earlier tests left to be collected at any time."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_news_calls_and_comings_and_goings(address: str) -> None:
    async def story() -> list[News]:
        weather, heard = FakeService(address, NAME), list[News]()
        weather.answers[PATH, NAME, "Ask"] = lambda question: ("as", [[question, "no"]])
        async with Service(NAME, RAINS) as service:
            heard += await service.receive()
            with pytest.raises(RefusedError, match="does not run"):
                await service.call(ASK)
            await weather.start()
            heard += await service.receive()
            assert await service.call(ASK) == (["rain?", "no"],)
            await weather.say(PATH, NAME, "Snows", "bs", False, "at all")
            await weather.say(PATH, NAME, "Rains", "bs", True, "cats")
            heard += await service.receive()
            await weather.stop()
            heard += await service.receive()
        return heard

    assert tell(story()) == [
        Ownership.STOPPED,
        Ownership.STARTED,
        Signal(path=PATH, member="Rains", body=(True, "cats")),
        Ownership.STOPPED,
    ]


def test_a_name_that_passes_to_another_has_stopped_and_started(address: str) -> None:
    async def story() -> tuple[News, ...]:
        first, second = FakeService(address, NAME), FakeService(address, NAME)
        async with first, second, Service(NAME, RAINS) as service:
            assert await service.receive() == (Ownership.STARTED,)
            await first.bus.release_name(NAME)
            return await service.receive()

    assert tell(story()) == (Ownership.STOPPED, Ownership.STARTED)


def test_a_deadline_ends_the_wait_and_no_news_is_lost(address: str) -> None:
    async def story() -> list[tuple[News, ...]]:
        async with FakeService(address, NAME) as weather, Service(NAME, RAINS) as service:
            past = asyncio.get_running_loop().time() - 1.0
            first = await service.receive(past)
            none = await service.receive(past)
            await weather.say(PATH, NAME, "Rains", "bs", True, "dogs")
            return [first, none, await service.receive()]

    first, none, last = tell(story())
    assert (first, none, len(last)) == ((Ownership.STARTED,), (), 1)


def test_only_the_owner_of_the_name_is_heard(address: str) -> None:
    async def story() -> tuple[News, ...]:
        async with (
            FakeService(address, NAME) as weather,
            FakeService(address, "") as liar,
            Service(NAME, RAINS) as service,
        ):
            await service.receive()
            ours = service._bus.unique_name if service._bus else None
            await liar.say(PATH, NAME, "Rains", "bs", True, "lies", to=ours)
            name_owner = (NAME, str(weather.bus.unique_name), "")
            await liar.say(PATH, "org.freedesktop.DBus", "NameOwnerChanged", "sss", *name_owner, to=ours)
            await liar.say(PATH, NAME, "Rains", "bs", True, "lies")
            await weather.say(PATH, NAME, "Rains", "bs", False, "true")
            return await service.receive()

    assert tell(story()) == (Signal(path=PATH, member="Rains", body=(False, "true")),)


def test_a_first_argument_that_is_not_wanted_is_not_heard(address: str) -> None:
    async def story() -> tuple[News, ...]:
        wanted = Wanted(interface=NAME, member="Changed", signature="sv", first="rain")
        async with FakeService(address, NAME) as weather, Service(NAME, wanted) as service:
            await service.receive()
            ours = service._bus.unique_name if service._bus else None
            await weather.say(PATH, NAME, "Changed", "sv", "snow", Variant("i", 1), to=ours)
            await weather.say(PATH, NAME, "Changed", "sv", "rain", Variant("v", Variant("ai", [2])))
            return await service.receive()

    assert tell(story()) == (Signal(path=PATH, member="Changed", body=("rain", [2])),)


async def failure(*, limit_s: float = 0.2) -> str:
    """Return how a service fails that is connected with and asked."""
    with pytest.raises(BusError) as error:
        await asked(limit_s)
    return str(error.value)


async def asked(limit_s: float) -> tuple[object, ...]:
    async with Service(NAME, RAINS, limit_s=limit_s) as service:
        return await service.call(ASK)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (("s", ["no"]), "answers `Ask` with `s`, not `as`"),
        (("", []), "answers `Ask` with ``, not `as`"),
        (None, "refuses `Ask`"),
    ],
)
def test_another_answer_than_it_should_be(
    address: str, answer: tuple[str, list[Any]] | None, said: str
) -> None:
    async def story() -> str:
        weather = FakeService(address, NAME)
        weather.answers[PATH, NAME, "Ask"] = lambda _: answer
        async with weather:
            return await failure(limit_s=10)

    assert said in tell(story())


def test_a_service_that_never_answers(address: str) -> None:
    async def story() -> str:
        async with FakeService(address, NAME) as weather:
            weather.bus.add_message_handler(lambda message: message.member == "Ask")
            weather.bus._user_message_handlers.reverse()
            async with Service(NAME, RAINS) as service:
                service._limit_s = 0.2  # the bus itself has more time: it does answer
                with pytest.raises(BusError) as error:
                    await service.call(ASK)
                return str(error.value)

    assert tell(story()) == f"`{NAME}` does not answer within 0.2 s"


def test_a_signal_with_other_types_than_declared(address: str) -> None:
    async def story() -> None:
        async with FakeService(address, NAME) as weather, Service(NAME, RAINS) as service:
            await service.receive()
            await weather.say(PATH, NAME, "Rains", "i", 7)
            with pytest.raises(BusError, match="says `Rains` with `i`, not `bs`"):
                await service.receive()

    tell(story())


def test_more_than_can_be_listened_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitors.dbus.NEWS_LIMIT", 16)

    async def story() -> None:
        async with FakeService(address, NAME) as weather, Service(NAME, RAINS) as service:
            await service.receive()
            for number in range(20):
                await weather.say(PATH, NAME, "Rains", "bs", True, f"{number}")
            await weather.bus.request_name(NAME)
            await service._ask_owner()  # the answer comes after all that was said before
            assert len(service._news) == 16
            with pytest.raises(BusError, match="says more than can be listened to"):
                await service.receive()

    tell(story())


def test_a_bus_that_ends(place: Path) -> None:
    async def story() -> None:
        with bus_in(place.parent) as address:
            async with Service(NAME, RAINS) as service:
                await service.receive()
                heard = asyncio.create_task(service.receive())
                os.kill(await _pid_of_bus(address), signal.SIGKILL)
                with pytest.raises(BusError, match="the connection to the system bus was lost"):
                    await heard
                with pytest.raises(BusError, match="the connection to the system bus was lost"):
                    await service._ask("org.freedesktop.DBus", ASK)

    tell(story())


async def _pid_of_bus(address: str) -> int:
    call = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="GetConnectionUnixProcessID",
        signature="s",
        body=["org.freedesktop.DBus"],
    )
    async with FakeService(address, "") as nobody:
        pid: int = (await nobody.bus.call(call)).body[0]
        return pid


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix:path=/nowhere/at/all", "No such file"),
        ("", "system bus"),
        ("carrier-pigeon:loft=7", "system bus"),
        ("nonsense", "`DBUS_SYSTEM_BUS_ADDRESS` can't be used"),
    ],
)
def test_an_address_that_leads_nowhere(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    monkeypatch.setattr(dbus, "_SOCKET", tmp_path / "none")  # this host may have a system bus
    assert said in tell(failure())


def test_where_there_is_no_bus_nothing_is_imported_for_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from monitors import dbus, services\n"
        f"dbus._SOCKET = Path({str(tmp_path / 'none')!r})\n"
        "try: asyncio.run(dbus._connect(1.0))\n"
        "except services.BusError as error: print(error, 'dbus_fast' in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DBUS_SYSTEM_BUS_ADDRESS"}
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout == "this host has no system bus False\n"


def test_one_descriptor_is_taken_and_no_other_kept(address: str) -> None:
    async def story() -> None:
        weather = FakeService(address, NAME)
        reading, writing = os.pipe()
        weather.answers[PATH, NAME, "Ask"] = lambda _: ("h", [writing])
        call = Call(path=PATH, interface=NAME, member="Ask", signature="s", body=("",), answer="h")
        async with weather:
            taken = await take_descriptor(NAME, call)
            os.write(taken, b"through")
            assert await read(reading, 7) == b"through"
            assert not os.get_inheritable(taken)
            os.close(taken)
            assert await read(reading, 1) == b""
            os.close(reading)

    tell(story())
    before = descriptors()
    tell(story())
    assert descriptors() == before


async def read(descriptor: int, count: int) -> bytes:
    """Read as soon as something is there; a read that waits would keep `tell` from ending it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    await ready.wait()
    loop.remove_reader(descriptor)
    return os.read(descriptor, count)


def test_importing_monitors_does_not_import_the_library() -> None:
    script = "import sys, monitors.metered, monitors.sleep; sys.exit('dbus_fast' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
