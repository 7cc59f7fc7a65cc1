"""What docs/applications.md says is so."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import sessionlayer as migrate
from sessionlayer.application import entry, functions
from sessionlayer.application.messages import GetSession, Granted, KeepAlive, decode_request
from tests.sessionlayer.application.fake_daemon import PATIENCE_S, SESSION, FakeDaemon

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "applications.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
TABLE_I = {
    "store",
    "retrieve",
    "store_size",
    "export",
    "register_handler",
    "register_attach_handler",
    "register_compat_vector",
    "compat_store",
    "return_cont",
    "freeze",
    "get_session",
    "session_close",
}


@pytest.fixture(autouse=True)
def no_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_functions", {})


def example(containing: str) -> dict[str, Any]:
    (code,) = [text for text in EXAMPLES if containing in text]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "applications.md", "exec"), names)
    return names


def test_every_call_of_the_papers_table_is_there() -> None:
    table = PAGE.partition("## The calls of the paper")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert set(named) >= TABLE_I


def test_every_name_exists() -> None:
    for name in re.findall(r"`(?:await )?migrate\.(\w+)", PAGE):
        assert hasattr(migrate, name), name
        assert name in migrate.__all__
    session = migrate.Session(b"", peer="", backend=None, runner=None)  # type: ignore[arg-type]
    for name in re.findall(r"`(?:await )?session\.(\w+)", PAGE):
        assert hasattr(session, name), name


def test_every_error_exists() -> None:
    for name in re.findall(r"`(\w+Error)`", PAGE):
        assert issubclass(getattr(migrate, name), Exception)


def test_the_tour_runs(daemon: FakeDaemon, connection: tuple[socket.socket, socket.socket]) -> None:
    def tour() -> None:
        example("def tour")["tour"](connection[0])
        entry.forget_daemon()

    with daemon.asked(tour) as waiting:
        daemon.accept()  # who only asks whether there is a daemon
        daemon.accept()
        assert daemon._program is not None
        while data := daemon._program.recv(65_536):
            request: Any = decode_request(data)
            if isinstance(request, KeepAlive):
                continue  # nobody waits for an answer
            session = SESSION if isinstance(request, GetSession) else b""
            daemon.say(Granted(number=request.number, session=session, peer="192.0.2.1 port 80"))
        waiting.result(PATIENCE_S)


def test_the_counter_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", "/nowhere")
    names = example("async def count")

    async def count() -> list[bytes]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        streams = await asyncio.open_connection(sock=theirs)
        served = asyncio.create_task(names["serve"](*streams))
        lines = [await reader.readline() for _ in range(3)]
        served.cancel()
        await asyncio.wait({served})
        for end in (writer, streams[1]):
            end.close()
            await end.wait_closed()
        return lines

    assert asyncio.run(count()) == [b"0\n", b"1\n", b"2\n"]


@pytest.mark.parametrize(
    "containing", ["session.register_handler()", "print(server.sockets", "create_server"]
)
def test_the_other_examples_run(containing: str) -> None:
    assert example(containing)


def test_the_viewer_is_the_one_of_the_examples() -> None:
    assert (ROOT / "examples" / "health" / "viewer.py").read_text() in EXAMPLES
