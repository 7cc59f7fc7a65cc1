from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from migrated.terminal.ask import ask
from migrated.terminal.place import HolderError, Place, PlaceError
from migrated.terminal.requests import Done, Kill, List, Open, Ready, Refused, TerminalList
from tests.migrated.terminal.rig import Rig, run


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path / "state" / "t", host="h")


def test_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MIGRATE_TERMINALS", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Place.usual() == Place(folder=tmp_path / "migrate/terminals", host=socket.gethostname())
    monkeypatch.setenv("MIGRATE_TERMINALS", "/elsewhere")
    assert Place.usual().folder == Path("/elsewhere")


def test_the_folder_is_the_users_alone(place: Place) -> None:
    place.prepare()
    place.folder.chmod(0o755)
    place.prepare()
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlaceError, match=r"no folder for terminals: .*file/t: not a directory"):
        Place(folder=tmp_path / "file/t", host="h").prepare()
    with pytest.raises(PlaceError, match="too long for a socket; name a folder in MIGRATE_TERMINALS"):
        Place(folder=tmp_path / ("x" * 100), host="h").prepare()


def test_without_a_holder_there_are_no_terminals(place: Place) -> None:
    assert ask(place, List()) == TerminalList(terminals=())
    assert ask(place, Kill(name="otter")) == Refused(reason="there is no terminal `otter`, nor any other")
    assert not place.folder.exists()


def test_the_first_request_starts_a_holder_that_outlives_it(place: Place) -> None:
    ready = ask(place, Open(client_key=bytes(32), name="otter"))
    assert isinstance(ready, Ready)
    assert stat.S_IMODE(place.socket.stat().st_mode) == 0o600
    again = ask(place, Open(client_key=bytes([1]) * 32, name="wren"))
    assert isinstance(again, Ready)
    assert (again.port, again.key) == (ready.port, ready.key)
    holder = _holder(place)
    words = Path(f"/proc/{holder}/stat").read_text().rpartition(")")[2].split()
    terminal, leader = int(words[4]), int(words[3]) == holder
    os.kill(holder, signal.SIGTERM)
    assert terminal == 0
    assert not leader
    assert os.getsid(0) != int(words[3])


def test_a_holder_that_can_not_start_says_why(place: Place) -> None:
    place.prepare()
    place.socket.mkdir()
    with pytest.raises(HolderError, match=r"did not start: .*irectory"):
        ask(place, Open(client_key=bytes(32)))


def test_requests_over_the_socket(tmp_path: Path) -> None:
    async def story() -> None:
        async with Rig(tmp_path) as rig:
            await (await rig.person(name="otter")).prompted()
            answer = await asyncio.to_thread(ask, rig.place, List())
            assert isinstance(answer, TerminalList)
            assert [terminal.name for terminal in answer.terminals] == ["otter"]
            assert await asyncio.to_thread(ask, rig.place, Kill(name="otter")) == Done()
            reader, writer = await asyncio.open_unix_connection(rig.place.socket)
            writer.write(b'{"type": "dance"}\n')
            assert b"protocol" in await reader.readline()
            writer.close()
            await writer.wait_closed()

    run(story)


def _holder(place: Place) -> int:
    """Return the process that has the place's socket: who answers a connection."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(place.socket))
        return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")
