"""The stream of events, with curl and Python's own HTTP client, and a scripted daemon."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sessionlayer.application.messages import RegisterAttachHandler, RegisterHandler
from tests.examples.test_counter import ANY_PORT, SUSPEND, WAIT_S, connected, daemon, port_of, program
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import FakeDaemon

__all__ = ["daemon"]

FOLDER = Path(__file__).parents[2] / "examples" / "event_stream"


@contextmanager
def reading(process: subprocess.Popen[bytes]) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", timeout=WAIT_S)
    connection.sock = connected(process)
    connection.request("GET", "/")
    with connection.getresponse() as response:
        assert (response.status, response.getheader("Content-Type")) == (200, "text/event-stream")
        yield response
    connection.close()


def identifiers(response: http.client.HTTPResponse, count: int) -> list[int]:
    found = []
    for _ in range(count):
        lines = [response.readline() for _ in range(3)]
        assert lines[1].startswith(b"data: something new")
        assert lines[2] == b"\n"
        found.append(int(lines[0].removeprefix(b"id: ")))
    return found


@pytest.mark.parametrize("name", ["plain.py", "suspendable.py"])
def test_every_reader_has_all_the_news(name: str) -> None:
    with (
        program(name, ANY_PORT, folder=FOLDER) as process,
        reading(process) as first,
        reading(process) as second,
    ):
        assert identifiers(first, 3) == identifiers(second, 3) == [1, 2, 3]


def test_a_reader_misses_nothing_that_happened_meanwhile(daemon: FakeDaemon) -> None:
    with (
        program("suspendable.py", ANY_PORT, folder=FOLDER, path=daemon.path) as process,
        reading(process) as response,
    ):
        daemon.grant_session()
        daemon.grant(daemon.expect(RegisterHandler).number)
        before = identifiers(response, 2)
        daemon.say(SUSPEND)
        daemon.grant(daemon.expect(RegisterAttachHandler).number)
        record, descriptors = daemon.take_continuation()
        sent = int(record.attributes["number"])
        daemon.invoke(record, descriptors)
        daemon.grant_session()
        daemon.grant(daemon.expect(RegisterHandler).number)
        after = identifiers(response, sent - len(before) + 5)
    assert before + after == list(range(1, len(before + after) + 1))


def test_curl_reads_it() -> None:
    with program("suspendable.py", ANY_PORT, folder=FOLDER) as process:
        address = f"http://127.0.0.1:{port_of(process)}/"
        command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", address]
        with killed_at_last(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as curl:
            assert curl.stdout is not None
            lines = [curl.stdout.readline() for _ in range(6)]
    assert re.findall(r"id: (\d+)", "".join(lines)) == ["1", "2"]


def test_a_stranger_page_is_not_there() -> None:
    with program("plain.py", ANY_PORT, folder=FOLDER) as process, connected(process) as client:
        client.sendall(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 404 ")


def test_it_takes_few_lines() -> None:
    script = FOLDER.parent / "count_lines.py"
    counted = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    (added,) = re.findall(r"^event stream +\d+ +(\d+)", counted.stdout, re.MULTILINE)
    assert 0 < int(added) <= 12
