"""Transports over a program called `ssh` that does what the other host would do, here."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from migrated.terminal import carrier as carrier_module
from migrated.terminal import child as child_module
from migrated.terminal.bootstrap import BootstrapError, Far
from migrated.terminal.carrier import IN_VAIN_S, SPACING_MAX_S, Carrier
from migrated.terminal.relay import RelayError, relay
from migrated.terminal.requests import List, Open, Ready, TerminalList, encode
from tests.migrated.terminal.rig import PATIENCE_S, clock, run, until

REQUEST = Open(client_key=bytes(32))
RELAY = f'{sys.executable} -c "from migrated.terminal.relay import relay; relay($port)"'
SERVES = """\
echo 'Warning: a banner' >&2
read request
echo 'Welcome!'
echo 'migrate-terminal {answer}'
read wish || exit 0
echo 'a complaint nobody should see' >&2
exec {relay}
"""


TURNS = 10
"""More turns of the loop than lie between a connection's being accepted and its being counted."""


class Ssh:
    """A program called `ssh` that is first on the path, and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self._program = folder / "ssh"
        self._program.touch(mode=0o755)

    def does(self, script: str) -> None:
        self._program.write_text(f'#!/bin/sh\necho "$*" >> {self._calls}\n{script}\n')

    def carries(self, port: int) -> None:
        """Do what the other host does, whose holder listens at a port."""
        answer = encode(Ready(name="one", port=port, key=bytes(32))).decode().strip()
        serves = SERVES.format(answer=answer, relay=RELAY)
        self.does(f'port={port}\ncase "$*" in *serve\\\') {serves};; *) exec {RELAY};; esac')

    @property
    def calls(self) -> list[list[str]]:
        return [line.split() for line in self._calls.read_text().splitlines()]

    @property
    def paths(self) -> list[str]:
        """What each call has for the path of a shared login."""
        return [call[call.index("-S") + 1] for call in self.calls]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    # A busy machine takes its time to start a program.
    monkeypatch.setattr(carrier_module, "SHARED_S", PATIENCE_S)
    monkeypatch.setattr(carrier_module, "LOGIN_S", PATIENCE_S)
    return Ssh(tmp_path)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the end of each ssh, which ends by itself, however busy the machine is."""
    monkeypatch.setattr(child_module, "GRACE_S", PATIENCE_S)


@asynccontextmanager
async def holder() -> AsyncIterator[int]:
    """Listen for transports, and say what each one says once more."""

    open_ = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_
        open_ += 1
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        open_ -= 1

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await until(lambda: open_ == 0)


async def echoes(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"hello")
    assert await loop.sock_recv(sock, 5) == b"hello"


def test_a_login_carries_the_first_transport_and_others_share_it(
    ssh: Ssh, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        async with holder() as port:
            ssh.carries(port)
            with Carrier(Far(host="h", options=("-p", "2222"))) as carrier:
                assert await asyncio.to_thread(carrier.ask, REQUEST) == Ready(
                    name="one", port=port, key=bytes(32)
                )
                first, second = await carrier.dial(), await carrier.dial()
                await echoes(first)
                await echoes(second)
                assert ssh.paths[0] == ssh.paths[1]
                assert ["BatchMode=yes" in call for call in ssh.calls] == [False, True]
                assert all(call[call.index("-p") :][:2] == ["-p", "2222"] for call in ssh.calls)
                first.close()
                clock().skip(1.0)
                third = await carrier.dial()
                await echoes(third)
                assert ssh.paths[2] != ssh.paths[0]
                assert "BatchMode=yes" in ssh.calls[2]
                processes = [child.process for child in carrier._children]
            assert [process.poll() is None for process in processes] == [False] * len(processes)
            assert third.fileno() == second.fileno() == -1

    run(story)
    assert capfd.readouterr().err == "Warning: a banner\n"


@pytest.mark.usefixtures("patient")
def test_whoever_only_asks_leaves_no_login(ssh: Ssh) -> None:
    ssh.does("""read request; echo 'migrate-terminal {"type": "terminal-list", "terminals": []}'; cat""")
    with Carrier(Far(host="h")) as carrier:
        assert carrier.ask(List()) == TerminalList(terminals=())
        (child,) = carrier._children
    assert child.process.returncode == 0


@pytest.mark.parametrize(("script", "words"), [("exit 255", "could not log in"), ("exit 3", "status 3")])
def test_silence_is_explained(ssh: Ssh, script: str, words: str) -> None:
    ssh.does(script)
    with Carrier(Far(host="h")) as carrier, pytest.raises(BootstrapError, match=words):
        carrier.ask(REQUEST)


@pytest.mark.usefixtures("patient")
def test_a_denied_login_is_told_and_not_repeated_at_once(ssh: Ssh) -> None:
    async def story() -> None:
        ssh.does("echo 'h: Permission denied (publickey,password).' >&2; exit 255")
        with Carrier(Far(host="h")) as carrier:
            with pytest.raises(ConnectionError, match="without asking you"):
                await carrier.dial()
            assert "attach again" in carrier.hint()
            ssh.does("exit 255")  # there is no network now, of which the title tells anyway
            again = asyncio.create_task(carrier.dial())
            await asyncio.sleep(0.1)
            assert len(ssh.calls) == 1
            clock().skip(IN_VAIN_S)
            with pytest.raises(ConnectionError):
                await again
            assert len(ssh.calls) == 2
            assert carrier.hint() == ""

    run(story)


def test_logins_that_do_not_help_are_spaced(ssh: Ssh) -> None:
    async def story() -> None:
        async with holder() as port:
            ssh.carries(port)
            with Carrier(Far(host="h")) as carrier:
                carrier._port = port
                for _ in range(6):
                    (await carrier.dial()).close()
                    clock().skip(SPACING_MAX_S)
                (await carrier.dial()).close()
                waiting = asyncio.create_task(carrier.dial())
                await asyncio.sleep(0.1)
                assert len(ssh.calls) == 7
                clock().skip(SPACING_MAX_S)
                (await waiting).close()
                clock().skip(3 * SPACING_MAX_S)
                (await carrier.dial()).close()
                assert len(ssh.calls) == 9
                assert carrier._not_before - clock().time() < 1.0, "one that lasted was punished"

    run(story)


@pytest.mark.usefixtures("patient")
def test_a_holder_that_is_gone_is_told(ssh: Ssh) -> None:
    async def story() -> None:
        ssh.does("echo 'Error: the process is \a gone' >&2; exit 1")
        with Carrier(Far(host="h")) as carrier:
            with pytest.raises(ConnectionError):
                await carrier.dial()
            assert carrier.hint() == r"the process is \x07 gone"

    run(story)


def test_a_login_that_takes_too_long_is_given_up(ssh: Ssh) -> None:
    async def story() -> None:
        ssh.does("exec sleep 60")
        with Carrier(Far(host="h")) as carrier:
            dialling = asyncio.create_task(carrier.dial())
            await until(lambda: len(carrier._children) == 1)
            clock().skip(PATIENCE_S)
            with pytest.raises(TimeoutError):
                await dialling
            (child,) = carrier._children
        assert child.process.returncode is not None

    run(story)


def test_an_ssh_that_does_not_want_to_end_is_killed(ssh: Ssh) -> None:
    ssh.does("trap '' TERM; echo 'migrate-terminal {\"type\": \"done\"}'; while :; do sleep 0.01; done")
    with Carrier(Far(host="h")) as carrier:
        carrier.ask(List())
        (child,) = carrier._children
    assert child.process.returncode == -9


def test_without_ssh_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with Carrier(Far(host="h")) as carrier, pytest.raises(BootstrapError, match="apt-get install"):
        carrier.ask(REQUEST)


def test_a_relay_joins_both_directions_and_ends_with_the_holder() -> None:
    async def story() -> None:
        async with holder() as port:
            (source, to), (out, sink) = os.pipe(), os.pipe()
            os.write(to, b"x" * 3000)
            os.close(to)
            await asyncio.to_thread(relay, port, source, sink)
            assert os.read(out, 5000) == b"migrate-terminal connected\n" + b"x" * 3000
            for descriptor in (source, out, sink):
                os.close(descriptor)

    run(story)


def test_a_relay_to_nobody_says_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen there, nor does anybody else
        port = taken.getsockname()[1]
        with pytest.raises(RelayError, match=f"is gone: port {port} is closed"):
            relay(port)
