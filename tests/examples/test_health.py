"""The viewer says how its session is, and its policy does what it says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from click.testing import CliRunner

from migrated.commands import cli
from sessionlayer.application.messages import KeepAlive
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import SESSION, FakeDaemon

HEALTH = Path(__file__).parents[2] / "examples" / "health"
WELL = KeepAlive(session=SESSION, healthy=True)
UNWELL = KeepAlive(session=SESSION, healthy=False, reason="no number for 1 s")
PATIENCE_S = 60.0


def test_the_viewer_is_unwell_when_nothing_comes_and_well_again() -> None:
    with (
        TemporaryDirectory() as folder,
        FakeDaemon(Path(folder)) as daemon,
        socket.create_server(("127.0.0.1", 0)) as listener,
        viewer_of(listener, daemon) as viewer,
    ):
        listener.settimeout(PATIENCE_S)
        counter, _ = listener.accept()
        with counter:
            counter.sendall(b"1\n")  # it is there when the viewer begins to count seconds
            daemon.grant_session()
            assert daemon.expect(KeepAlive) == WELL
            assert daemon.expect(KeepAlive) == UNWELL
            counter.sendall(b"2\n")
            while (said := daemon.expect(KeepAlive)) == UNWELL:
                pass
            assert said == WELL
            counter.shutdown(socket.SHUT_RDWR)
            assert viewer.communicate(timeout=PATIENCE_S)[0] == b"1\n2\n"
            assert viewer.returncode == 0


def viewer_of(listener: socket.socket, daemon: FakeDaemon) -> AbstractContextManager[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, str(HEALTH / "viewer.py"), "127.0.0.1", str(listener.getsockname()[1])],
        env={**os.environ, "MIGRATE_APPLICATION_SOCKET": daemon.path},
        stdout=subprocess.PIPE,
    )
    return killed_at_last(started)


def test_its_policy_does_what_it_says() -> None:
    result = CliRunner().invoke(cli, ["policy", "test", str(HEALTH / "viewer.timeline.toml")])
    assert result.exit_code == 0, result.output
    assert "2 tests" in result.output
