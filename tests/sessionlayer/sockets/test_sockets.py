"""Stream sockets: what is theirs alone. What every stream socket does is in test_testing.py."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sessionlayer.aio import StreamOptions, StreamRefusedError, StreamSession, UntrustedPeerError
from sessionlayer.sockets import create_connection, create_server
from sessionlayer.sockets.background import background
from tests.processes import killed_at_last
from tests.sessionlayer.sockets.pairs import (
    CLIENT,
    PATIENCE_S,
    SERVER,
    connect_to,
    listening,
    streams,
    trust,
    wait_until_quiet,
)

ROOT = Path(__file__).parents[3]


def test_a_listener_is_readable_when_a_connection_waits() -> None:
    with listening() as listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        with connect_to(listener, purpose=b"mail"):
            assert select.select([listener], [], [], PATIENCE_S)[0]
            served, address = listener.accept()
            with served:
                assert address == served.getpeername()
                assert served.purpose == b"mail"
                assert served.stream_session.peer_key == CLIENT.public_bytes


def test_accepting_and_connecting_have_time_outs() -> None:
    with listening() as listener:
        listener.settimeout(0.01)
        with pytest.raises(TimeoutError):
            listener.accept()
        with connect_to(listener, timeout=30.0) as client:
            assert client.gettimeout() == 30.0
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        create_connection(silent.getsockname(), 0.05, identity=CLIENT, judge=trust)


def test_a_closed_listener_takes_nobody_but_its_connections_live_on() -> None:
    client, served = streams()  # which closes the listener
    with client, served:
        client.sendall(b"still there")
        assert served.recv(100) == b"still there"


def test_a_stranger_and_a_purpose_can_be_refused() -> None:
    async def admit(session: StreamSession, purpose: bytes) -> str:
        return "" if purpose == b"mail" else "only mail is taken here"

    with create_server(("127.0.0.1", 0), identity=SERVER, judge=trust, admit=admit) as listener:
        with pytest.raises(StreamRefusedError, match="only mail"):
            connect_to(listener, purpose=b"web")
        with pytest.raises(UntrustedPeerError):
            create_connection(
                listener.getsockname(), PATIENCE_S, identity=CLIENT, judge=lambda key: "nobody is trusted"
            )


def test_options_of_tcp_are_taken() -> None:
    client, served = streams()
    with client, served:
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client.dup() as other:
            assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_a_stream_that_has_expired_is_an_error_and_no_end_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessionlayer.streams.liveness.SUSPEND_S", 0.02)
    options = StreamOptions(expire_s=0.05)
    with create_server(("127.0.0.1", 0), identity=SERVER, judge=trust) as listener:
        client = create_connection(
            listener.getsockname(), PATIENCE_S, identity=CLIENT, judge=trust, options=options
        )
        served, _ = listener.accept()
        server = listener._known().server
    assert server is not None

    def vanish() -> None:
        served.stream_session.freeze()  # it falls silent without a word
        server.close()  # and nobody is there who could say that the session is unknown

    with client, served:
        served.sendall(b"before")
        assert client.recv(6) == b"before"
        background.call(vanish)
        with pytest.raises(ConnectionResetError, match=r"the stream was lost: .*could not be reached"):
            client.recv(1)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        with pytest.raises(ConnectionResetError), client.makefile("rb") as file:
            file.read()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_nothing_is_left_of_closed_streams() -> None:
    streams_closed()  # what stays for the process is there
    gc.collect()  # what tests before have left is closed before it is counted
    before, running = descriptors(), threads()
    for _ in range(20):
        streams_closed()
    assert descriptors() <= before
    assert threads() <= running


def threads() -> set[threading.Thread]:
    """Return those that run, but for the few of an event loop's own, which it begins when it needs them."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def streams_closed() -> None:
    one, other = streams()
    with one, other:
        one.sendall(b"x")
        one.shutdown(socket.SHUT_WR)
        assert (other.recv(10), other.recv(1)) == (b"x", b"")
        other.close()
        assert one.recv(1) == b""

    wait_until_quiet()


PROGRAM = """
import sys
from tests.sessionlayer.sockets.pairs import CLIENT, trust
from sessionlayer.sockets import create_connection
connection = create_connection(("127.0.0.1", int(sys.argv[1])), 60, identity=CLIENT, judge=trust)
connection.sendall(bytes(4_000_000))
"""


def test_what_was_written_arrives_though_the_program_ends() -> None:
    with listening() as listener:
        port = str(listener.getsockname()[1])
        with killed_at_last(subprocess.Popen([sys.executable, "-c", PROGRAM, port], cwd=ROOT)) as program:
            listener.settimeout(PATIENCE_S)
            served, _ = listener.accept()
            served.settimeout(
                PATIENCE_S
            )  # a program that fails leaves a stream that waits for it to come back
            with served:
                count = 0
                while data := served.recv(1 << 20):
                    count += len(data)
            assert count == 4_000_000
            assert program.wait(PATIENCE_S) == 0


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    with listening() as listener:
        port = str(listener.getsockname()[1])
        program = (
            "import os, sys\n"
            "from tests.sessionlayer.sockets import pairs\n"
            "with pairs.listening() as own: pairs.connect_to(own).close()\n"
            "child = os.fork()\n"
            f"address = ('127.0.0.1', {port})\n"
            "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
            "with pairs.create_connection(address, 10, identity=pairs.CLIENT, judge=pairs.trust) as s:\n"
            "    s.sendall(b'from the child')\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", program]
        with killed_at_last(subprocess.Popen(command, cwd=ROOT)) as process:
            listener.settimeout(PATIENCE_S)
            served, _ = listener.accept()
            served.settimeout(PATIENCE_S)
            with served, served.makefile("rb") as file:
                assert file.read() == b"from the child"
            assert process.wait(PATIENCE_S) == 0
