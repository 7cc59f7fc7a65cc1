"""`migrate monitors watch`: changes as lines, values as a table."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from migrated.commands.monitors_watch import changes, values_table
from migrated.control.observations import FactList, FactReport
from tests.examples import openssh
from tests.examples.openssh import Output
from tests.migrated.control_fakes import PATIENCE_S, RunningServer, running_server
from tests.processes import interrupted, killed_at_last

HOUR = FactReport(fact="hour", value=7.0, measured_at=1.5e9)
RTT = FactReport(fact="rtt", value=0.031, unit="s", interface="wlan0", peer="10.0.0.9", expires_at=4e9)
SLOWER = replace(RTT, value=0.25)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RunningServer]:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    monkeypatch.setattr(openssh, "PATIENCE_S", PATIENCE_S)
    with running_server(tmp_path / "s", {"aa11": os.getuid()}) as server:
        server.handler.readings = [
            FactList(facts=(HOUR, RTT)),
            FactList(facts=(replace(HOUR, measured_at=1.6e9), SLOWER), omitted=5),
            FactList(facts=(HOUR,)),
        ]
        yield server


def watching(*options: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    program = (
        "import migrated.commands.monitors_watch as m; m.REFRESH_S = m._LONGEST_REST_S = 0.01;"
        "from migrated.commands import main; main()"
    )
    command = [sys.executable, "-c", program, "monitors", "watch", *options]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)


def lines_of(process: subprocess.Popen[str], count: int) -> list[str]:
    """Return the first lines, after which the command is told to end, and does so well."""
    with killed_at_last(process):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(count)]
        assert interrupted(process) == 0
    return lines


def shown_on_a_terminal(until: bytes) -> bytes:
    """Return all that the command shows, which is told to end when it has shown something.

    It is read to its end: a program can't even end while it waits for room on a terminal that nobody reads.
    """
    master, terminal = pty.openpty()
    with os.fdopen(master, "rb", buffering=0), killed_at_last(watching(stdout=terminal)) as process:
        os.close(terminal)
        output = Output(master)
        seen = output.until(until)
        process.send_signal(signal.SIGINT)
        seen += output.rest()
        assert process.wait(PATIENCE_S) == 0
    return seen


def test_every_value_that_is_new_is_a_line(running: RunningServer) -> None:
    lines = lines_of(watching("rtt", "hour"), 4)
    assert [line.split("  ", 1)[1] for line in lines] == [
        "hour = 7\n",
        "rtt wlan0 -> 10.0.0.9 = 31 ms\n",
        "rtt wlan0 -> 10.0.0.9 = 250 ms\n",
        "rtt wlan0 -> 10.0.0.9 is not known\n",
    ]
    assert running.handler.facts_asked[0].names == ("rtt", "hour")


def test_every_value_that_is_new_is_an_object(running: RunningServer) -> None:
    found = [json.loads(line) for line in lines_of(watching("--json"), 4)]
    assert [(row["fact"], row["value"]) for row in found] == [
        ("hour", 7.0),
        ("rtt", 0.031),
        ("rtt", 0.25),
        ("rtt", None),
    ]
    assert found[1].keys() >= {"time", "unit", "interface", "peer", "session", "connection", "measured_at"}


def test_a_value_that_was_only_measured_again_is_no_change() -> None:
    again = replace(HOUR, measured_at=1.6e9)
    assert list(changes({("hour",): HOUR}, {("hour",): again}, whole=True)) == []


def test_what_found_no_place_is_not_taken_for_gone() -> None:
    assert list(changes({("hour",): HOUR}, {}, whole=False)) == []
    (gone,) = changes({("hour",): HOUR}, {}, whole=True)
    assert (gone.value, gone.measured_at) == (None, None)


def test_on_a_terminal_it_is_a_table_made_anew(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    seen = shown_on_a_terminal(b"250 ms")  # of the second reading
    assert seen.index(b"FACT") < seen.index(b"wlan0 -> 10.0.0.9")


def drawn(reading: FactList, height: int) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=100)
    console.print(values_table(reading, height, now=1.5e9 + 61))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_the_table_has_age_and_expiry() -> None:
    expiring = replace(RTT, measured_at=1.5e9 + 59, expires_at=1.5e9 + 62)
    assert drawn(FactList(facts=(HOUR, expiring)), 10) == [
        ["FACT", "OF", "VALUE", "AGE", "EXPIRES", "IN"],
        ["hour", "host", "7", "1", "min"],
        ["rtt", "wlan0", "->", "10.0.0.9", "31", "ms", "2", "s", "1", "s"],
    ]


def test_the_table_is_no_higher_than_the_terminal() -> None:
    reading = FactList(facts=(HOUR,) * 9, omitted=100)
    *_, note = drawn(reading, 4)
    assert note[:3] == ["and", "105", "more;"]
    assert len(drawn(reading, 4)) == 1 + 4 + 1


def test_words_of_others_steer_no_terminal() -> None:
    hostile = FactReport(fact="x.y", value="\x1b[2J[red]", interface="\x1b[31m")
    _, row = drawn(FactList(facts=(hostile,)), 10)
    assert row == ["x.y", "\\x1b[31m", "\\x1b[2J[red]"]


def test_a_terminal_that_can_not_draw_gets_lines(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    seen = shown_on_a_terminal(b"250 ms")
    assert b"  rtt wlan0 -> 10.0.0.9 = 31 ms" in seen
    assert b"FACT" not in seen


def test_it_ends_with_the_daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGRATE_SOCKET", str(tmp_path / "s"))
    with running_server(tmp_path / "s", {}):
        process = watching()
        assert process.stdout is not None
        assert process.stdout.readline()
    with killed_at_last(process):
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "the daemon closed the connection" in error
