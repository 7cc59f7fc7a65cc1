"""Commands that go on until Ctrl-C end at the first one, whenever it comes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.migrated.control_fakes import PATIENCE_S, running_server
from tests.processes import killed_at_last

# The signal goes to another thread than the one that waits, whose wait it therefore does not break off; nor
# does one that comes between Python's last look for signals and the wait.
PROGRAM = """
import signal, sys, threading
import migrated.commands.monitors_watch
from migrated.commands import main
migrated.commands.monitors_watch.REFRESH_S = 3600.0
def interrupt():
    sys.stdin.readline()
    signal.raise_signal(signal.SIGINT)
threading.Thread(target=interrupt).start()
main()
"""


def wait_until_asleep(pid: int) -> None:
    """Wait until the main thread, which is the only one that runs, waits for something outside."""
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline


@pytest.mark.parametrize("command", ["watch", "events --follow", "monitors watch"])
def test_a_signal_that_breaks_off_no_wait_is_heard(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    program = [sys.executable, "-c", PROGRAM, *command.split()]
    with (
        running_server(tmp_path / "s", {"aa11": os.getuid()}) as running,
        killed_at_last(subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as process,
    ):
        assert process.stdout is not None
        if command == "watch":
            assert running.handler.watched.wait(PATIENCE_S)
        else:
            assert process.stdout.readline()
        wait_until_asleep(process.pid)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.wait(PATIENCE_S) == 0
