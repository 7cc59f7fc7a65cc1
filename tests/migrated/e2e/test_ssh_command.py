"""`migrate ssh` over a real OpenSSH server: outages, killed clients, other windows; and no privilege."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated.lab import SERVER_V4
from tests.migrated.e2e.windows import COLUMNS, Far, Window, await_true, far_in

OUTAGE_S = float(os.environ.get("MIGRATE_OUTAGE_S", "20"))
COUNT = (
    "i=0; while [ ! -e {stop} ]; do echo number $i; i=$((i+1)); sleep 0.05; done; echo all $i; read x; exit 7"
)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_in(tmp_path_factory.mktemp("ssh")) as far:
        yield far


def capabilities(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))


def advised(window: Window, name: str) -> int:
    """Count where a window says how to come back: with what its user typed, over several lines."""
    shown = "".join(line.ljust(COLUMNS) for line in window.lines)
    return len(
        re.findall(rf"`migrate ssh -F \S+ --server '.*?' --attach {name} {SERVER_V4}` comes back", shown)
    )


def test_a_shell_there_and_its_status(far: Far) -> None:
    window = far.window("-q", SERVER_V4)
    window.await_line(r".*[$#]")
    assert not any("migrate" in line for line in window.lines)
    window.type("stty size; echo $((6*7)) $TERM\r")
    window.await_line("24 80")
    window.await_line("42 xterm")
    window.type("exit 9\r")
    assert window.end() == 9


def test_detached_listed_attached_and_killed(far: Far) -> None:
    window = far.window("--name", "wren", SERVER_V4, "echo ready; cat")
    window.await_line("ready")
    assert capabilities(window.process.pid) == "0" * 16
    window.type("~.")
    assert window.end() == 0
    assert advised(window, "wren") == 2, "at the beginning, and at the end"
    await_true(lambda: far.state("wren") == "detached")
    listed = json.loads(far.there("sessions", "--json").stdout)
    assert [(t["name"], t["program"], t["state"]) for t in listed] == [
        ("wren", "echo ready; cat", "detached")
    ]
    assert capabilities(listed[0]["pid"]) == "0" * 16
    taken = far.window("--name", "wren", SERVER_V4)
    taken.await_line(f"Error: `{SERVER_V4}`: there is a terminal `wren` already; .*")
    assert taken.end() == 255
    mistyped = far.window("--attach", "wern", SERVER_V4)
    mistyped.await_line(f"Error: `{SERVER_V4}`: there is no terminal `wern`; did you mean `wren`.*")
    another = far.window(SERVER_V4, "true")
    another.await_line(r"migrate: on `18.31.0.9` there is also `wren`; .*")
    assert another.end() == 0
    again = far.window("--attach", "wren", SERVER_V4)
    again.await_line("ready")
    assert far.there("kill", "wren").returncode == 0
    again.await_line(".*killed.*")
    assert again.end() == 255
    assert far.there("kill", "wren").returncode == 1
    assert far.there("sessions").returncode == 2  # there is no daemon either


def test_a_client_that_is_terminated_leaves_its_window_as_it_was(far: Far) -> None:
    window = far.window("--name", "teal", SERVER_V4, "printf 'ready\\033[?2004h\\n'; cat")
    window.await_line("ready")
    window.process.send_signal(signal.SIGTERM)
    assert window.end() == 255
    assert any("ended by SIGTERM" in line for line in window.lines)
    assert window.modes == set(), "bracketed paste was left on"
    await_true(lambda: far.state("teal") == "detached")
    assert far.there("kill", "teal").returncode == 0


def test_a_host_without_migrate(far: Far) -> None:
    words = list(far.ssh)
    words[words.index("--server") + 1] = "/nowhere/migrate"
    window = Window(far.net.client, [*words, SERVER_V4])
    window.await_line(rf"Error: `{SERVER_V4}` has no `/nowhere/migrate`")
    assert window.end() == 255


def test_a_host_that_is_not_there(far: Far) -> None:
    window = far.window("-o", "ConnectTimeout=1", "18.31.0.77")
    window.await_line("Error: ssh could not log in at `18.31.0.77`")
    assert window.end() == 255


@pytest.mark.slow
def test_a_long_outage(far: Far) -> None:
    stop = far.folder / "stop-1"
    window = far.window("--name", "patient", SERVER_V4, COUNT.format(stop=stop))
    window.await_line("number 20")
    far.cut()
    time.sleep(OUTAGE_S)
    assert far.state("patient") == "suspended"
    before = len(window.numbers())
    far.plug()
    await_true(lambda: far.state("patient") == "attached")
    stop.touch()
    total = int(window.await_line(r"all (\d+)")[1])
    assert total > before + OUTAGE_S * 5, "the program stood still"
    assert window.numbers() == list(range(total))
    window.type("\r")
    assert window.end() == 7


@pytest.mark.slow
def test_the_client_is_killed_during_an_outage(far: Far) -> None:
    stop = far.folder / "stop-2"
    first = far.window("--name", "orphan", SERVER_V4, COUNT.format(stop=stop))
    first.await_line("number 20")
    far.cut()
    time.sleep(OUTAGE_S)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    far.plug()
    second = far.window("--attach", "orphan", SERVER_V4)
    second.await_line("number 20")
    stop.touch()
    total = int(second.await_line(r"all (\d+)")[1])
    assert second.numbers() == list(range(total))
    shown = second.display
    third = far.window("--attach", "orphan", SERVER_V4)
    third.await_line(f"all {total}")
    second.await_line(".*attached elsewhere.*")
    assert second.end() == 255
    assert third.numbers() == list(range(total))
    assert third.display == shown
    third.type("\r")
    assert third.end() == 7
