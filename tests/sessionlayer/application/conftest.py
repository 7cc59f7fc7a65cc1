from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sessionlayer.application import entry
from tests.sessionlayer.application.fake_daemon import PATIENCE_S, FakeDaemon


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    """A scripted daemon, which this process finds as its own; a process that has not spoken to one yet."""
    with TemporaryDirectory() as folder, FakeDaemon(Path(folder)) as found:
        monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", found.path)
        entry.forget_daemon()
        yield found
        entry.forget_daemon()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: the program's, and its client's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        program, _ = server.accept()
    client.settimeout(PATIENCE_S)
    with client, program:
        yield program, client
