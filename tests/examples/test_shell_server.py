"""A shell server on asyncssh: OpenSSH's client does not notice that the serving process is another one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.examples.openssh import PATIENCE_S, Keys, Output
from tests.processes import killed_at_last

ROOT = Path(__file__).parents[2]
HAND_OVERS = 3


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.make(tmp_path_factory.mktemp("keys"))


@contextmanager
def running(command: list[str]) -> Iterator[Output]:
    """Run a server; give what it says."""
    with killed_at_last(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)) as process:
        yield Output.of(process)


class Relay:
    """A server that hands its connection from process to process."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.port = int(output.line())
        self.pid = 0
        self.left_to_send = 0

    def started(self) -> None:
        """Wait for the process that serves now."""
        self.pid = int(self.output.line().split()[0])

    def hand_over(self) -> None:
        """Let another process serve, as soon as the connection is between two packets."""
        os.kill(self.pid, signal.SIGUSR1)
        while (said := self.output.line()) == "busy":
            os.kill(self.pid, signal.SIGUSR1)
        before, (self.pid, unsent) = self.pid, map(int, said.split())
        self.left_to_send += unsent
        assert self.pid != before


@contextmanager
def relay(keys: Keys) -> Iterator[Relay]:
    """Run a relay; its last process ends with the client."""
    with running(keys.server("tests.examples.handover")) as output:
        yield Relay(output)


@contextmanager
def ssh(keys: Keys, port: int, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Output]]:
    """Run ssh(1) with pipes; it must have ended at the end."""
    pipe = subprocess.PIPE
    started = subprocess.Popen(
        keys.client(port, *arguments), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, bufsize=0
    )
    with killed_at_last(started) as process:
        yield process, Output.of(process)
        process.wait(PATIENCE_S)


def say(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line.encode() + b"\n")


def test_a_command_gives_its_output_and_its_status(keys: Keys) -> None:
    data = os.urandom(3_000_000)
    with running(keys.server("examples.shell_server.plain", "--port", "0")) as output:
        port = int(output.line().rpartition(" ")[2])
        command = keys.client(port, "-T", "sha256sum; exit 7")
        done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 7
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "cipher", ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com"]
)
def test_a_shell_goes_on_in_another_process(keys: Keys, cipher: str) -> None:
    with (
        relay(keys) as server,
        ssh(keys, server.port, "-tt", "-c", cipher, "exec bash --norc") as (client, output),
    ):
        server.started()
        say(client, "stty -echo; secret=41; echo pid$((0)):$$:")
        output.until(b"pid0:")
        pid = output.until(b":")
        for _ in range(3):
            server.hand_over()
        say(client, "echo $((secret + 1)):pid0:$$:")
        output.until(b"42:pid0:")
        assert output.until(b":") == pid
        say(client, "exit 9")
    assert client.returncode == 9


@pytest.mark.parametrize("options", [(), ("-oRekeyLimit=256K",)], ids=["one key", "changing keys"])
def test_no_byte_of_a_large_output_is_lost_or_repeated(keys: Keys, options: tuple[str, ...]) -> None:
    command = "read start; seq 1 1000000; exit 3"
    with relay(keys) as server, ssh(keys, server.port, "-T", *options, command) as (client, output):
        server.started()
        say(client, "start")
        received = output.until(b"\n")
        for count, number in enumerate((20_000, *range(200_000, 1_000_000, 100_000)), 1):
            received += output.until(b"\n%d\n" % number)
            server.hand_over()
            # A server that was let run more than the test may just have sent all that the client allows.
            if count >= HAND_OVERS and server.left_to_send:
                break
        received += output.rest()
    assert received == b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    assert server.left_to_send > 0
    assert client.returncode == 3


def test_no_byte_of_a_large_input_is_lost_or_repeated(keys: Keys, tmp_path: Path) -> None:
    data = os.urandom(4_000_000)
    with relay(keys) as server, ssh(keys, server.port, "-T", "echo ready; sha256sum") as (client, output):
        server.started()
        output.until(b"ready\n")
        assert client.stdin is not None
        for start in range(0, len(data), 1_000_000):
            client.stdin.write(data[start : start + 1_000_000])
            server.hand_over()
        client.stdin.close()
        assert output.rest().split()[0].decode() == hashlib.sha256(data).hexdigest()


def set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_the_window_size_follows_the_clients(keys: Keys) -> None:
    ours, theirs = os.openpty()
    set_size(ours, 30, 90)
    with relay(keys) as server:
        command = keys.client(server.port, "-t", "exec bash --norc")
        started = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        with killed_at_last(started) as client:
            os.close(theirs)
            output = Output(ours)
            server.started()
            os.write(ours, b"stty size\n")
            output.until(b"30 90")
            server.hand_over()
            os.write(ours, b"echo before:$(stty size):\n")
            output.until(b"before:30 90:")
            set_size(ours, 50, 132)
            client.send_signal(signal.SIGWINCH)
            os.write(ours, b"while test \"$(stty size)\" != '50 132'; do :; done; echo now:$(stty size):\n")
            output.until(b"now:50 132:")
            os.write(ours, b"exit 0\n")
            assert client.wait(PATIENCE_S) == 0
    os.close(ours)
