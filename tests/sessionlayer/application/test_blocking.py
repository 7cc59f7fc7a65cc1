"""A program with threads and without a daemon: its sessions are those of stream sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import pytest

import sessionlayer as migrate
from sessionlayer.aio import StreamOptions, connect
from sessionlayer.application import functions
from sessionlayer.sockets import StreamListener, StreamSocket, create_connection, create_server
from sessionlayer.sockets.background import background
from tests.sessionlayer.sockets.pairs import CLIENT, SERVER, trust, wait_until_quiet

OPTIONS = StreamOptions(silence_s=60, expire_s=600)
"""Whoever is not let run by a busy machine for a while is silent, too: nothing is suspended for that."""

PATIENCE_S = 60.0


class Road:
    """A relay between client and server that can be shut, so that nothing passes, and opened."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._open = True
        self._lock = threading.Lock()
        self._passing: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def shut(self) -> None:
        with self._lock:
            self._open = False
            passing, self._passing = self._passing, []
        for end in passing:
            _shutdown(end)

    def open(self) -> None:
        self._open = True

    def close(self) -> None:
        _shutdown(self._listener)
        self.shut()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    if not self._open:
                        near.close()
                        continue
                    far = socket.create_connection(self._target)
                    self._passing += [near, far]
                self._start(self._pass, near, far)

    def _pass(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=_copy, args=(far, near), daemon=True)
        back.start()
        _copy(near, far)
        back.join()
        near.close()
        far.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # the one end has closed: the other is to know
        _shutdown(source)
        _shutdown(sink)


def _shutdown(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


class World:
    """A server, a road to it, and a client."""

    def __init__(self) -> None:
        self.listener: StreamListener = create_server(
            ("127.0.0.1", 0), identity=SERVER, judge=trust, options=OPTIONS
        )
        self.road = Road(self.listener.getsockname()[1])
        self.client = create_connection(
            self.road.address, PATIENCE_S, identity=CLIENT, judge=trust, options=OPTIONS
        )
        self.listener.settimeout(PATIENCE_S)
        self.served, _ = self.listener.accept()
        self.served.settimeout(PATIENCE_S)  # as the client has: a stream that is not resumed lives for long


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(functions, "_functions", {})
    monkeypatch.setattr(functions, "_attached", {})
    monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", "/nowhere")
    monkeypatch.setattr("sessionlayer.streams.liveness.SUSPEND_S", 0.1)  # a shut road is noticed soon
    found = World()
    yield found
    found.client.close()
    found.served.close()
    found.listener.close()
    try:
        wait_until_quiet()  # which it is for what was given up as well
    finally:
        found.road.close()


Resumed = SimpleQueue[tuple[migrate.Session, StreamSocket]]


def taking(name: str) -> Resumed:
    """Register a function that says what it was called with."""
    called: Resumed = SimpleQueue()
    migrate.function(name)(lambda session, connection: called.put((session, connection)))
    return called


def read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, data
        data += piece
    return data


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return what a thread reads that is not at a quiescent point: it is woken, and learns why."""
    data = b""
    try:
        while piece := connection.recv(100):
            data += piece
    except ConnectionResetError as error:
        assert "given up" in str(error)  # noqa: PT017 - what came before is of interest
        return data
    raise AssertionError("the stream was not ended")


def test_a_handler_gives_up_and_a_function_goes_on_with_another_socket(world: World) -> None:
    called = taking("sockets-on")
    session = migrate.get_session(world.served)
    assert migrate.get_session(world.served) is session
    assert session.id == world.client.stream_session.id
    threads: SimpleQueue[str] = SimpleQueue()

    def handler(session: migrate.Session) -> migrate.Continuation:
        threads.put(threading.current_thread().name)
        return migrate.internal("sockets-on")

    session.register_handler(handler)
    before = world.served
    for count in range(3):
        session.store("count", b"%d" % count)
        world.client.sendall(b"read,unread")
        assert read(before, 5) == b"read,"
        before.sendall(b"written")
        world.road.shut()
        taken = read_to_the_end(before)
        assert taken in (b"", b"unread")  # nothing, where the thread was slower than the handler
        assert threads.get(timeout=PATIENCE_S) == "migrate-handlers"
        world.client.sendall(b",later")
        world.road.open()
        found, after = called.get(timeout=PATIENCE_S)
        assert found is session
        assert (session.suspended, session.continued) == (False, True)
        assert session.retrieve("count") == b"%d" % count
        assert before.fileno() == -1
        after.settimeout(PATIENCE_S)
        before = after
        rest = b"unread,later"[len(taken) :]  # what the thread above has read is not read again
        assert read(after, len(rest)) == rest
        assert read(world.client, 7) == b"written"
    before.close()


def test_what_is_unread_or_unsent_at_a_quiescent_point_is_kept(world: World) -> None:
    """In both directions, with the end of one of them."""
    called = taking("sockets-quiet")
    session = migrate.get_session(world.served)
    suspended = threading.Event()
    session.register_handler(lambda session: suspended.set())
    up, down = bytes(range(256)) * 4000, bytes(range(255, -1, -1)) * 400
    world.client.sendall(b"x")
    assert read(world.served, 1) == b"x"
    sender = threading.Thread(target=world.client.sendall, args=(up,))
    sender.start()
    world.served.sendall(down)
    world.served.shutdown(socket.SHUT_WR)
    assert read(world.served, 1000) == up[:1000]
    world.road.shut()
    assert suspended.wait(PATIENCE_S)
    session.return_cont(migrate.internal("sockets-quiet"))
    assert world.served.fileno() == -1
    with pytest.raises(migrate.MigrateError, match="given up"):
        session.return_cont(migrate.internal("sockets-quiet"))
    world.road.open()
    _, after = called.get(timeout=PATIENCE_S)
    with after:
        after.settimeout(PATIENCE_S)
        assert read(after, len(up) - 1000) == up[1000:]
        with pytest.raises(BrokenPipeError):
            after.sendall(b"more")  # its end was said before
        assert read(world.client, len(down)) == down
        assert world.client.recv(1) == b""
        sender.join(PATIENCE_S)


def test_a_client_gives_its_session_up_as_well(world: World) -> None:
    session = migrate.get_session(world.client)
    session.register_handler(lambda session: migrate.system())
    session.on_end(lambda session: ended.put(session.ended))
    ended: SimpleQueue[migrate.SessionEndedError | None] = SimpleQueue()
    world.served.sendall(b"one")
    assert read(world.client, 3) == b"one"
    world.road.shut()
    with pytest.raises(ConnectionResetError, match="given up"):
        world.client.recv(1)
    waiting = session.resumed()
    world.served.sendall(b"two")
    world.road.open()
    with waiting.result(PATIENCE_S) as after:
        after.settimeout(PATIENCE_S)
        assert read(after, 3) == b"two"
        after.sendall(b"three")
        assert read(world.served, 5) == b"three"
    assert world.served.recv(1) == b""
    world.served.close()
    found = ended.get(timeout=PATIENCE_S)
    assert found is not None
    assert found.code == "closed"


def test_an_attach_handler_takes_up_what_nobody_waits_for(world: World) -> None:
    called: Resumed = SimpleQueue()
    with pytest.raises(migrate.UnavailableError):
        migrate.register_attach_handler("server", lambda session, connection: None)
    migrate.register_attach_handler(
        "server", lambda session, connection: called.put((session, connection)), optional=True
    )
    session = migrate.get_session(world.served)
    session.register_handler(lambda session: migrate.system())
    world.listener.close()  # the port stays for whoever comes back
    world.road.shut()
    with pytest.raises(ConnectionResetError, match="given up"):
        world.served.recv(1)
    world.client.sendall(b"hello")
    world.road.open()
    found, after = called.get(timeout=PATIENCE_S)
    with after:
        after.settimeout(PATIENCE_S)
        assert found is session
        assert read(after, 5) == b"hello"


def test_exports_reach_the_peer_and_a_program_that_runs_on_is_told(world: World) -> None:
    told: SimpleQueue[str] = SimpleQueue()
    here, there = migrate.get_session(world.client), migrate.get_session(world.served)
    here.store("colour", b"green")
    here.export("colour")
    with pytest.raises(migrate.AttributeStoreFullError):
        here.store("colour", bytes(17_000))
    there.register_handler(lambda session: told.put("suspended"))
    there.on_resume(lambda session: told.put("resumed"))
    world.road.shut()
    assert told.get(timeout=PATIENCE_S) == "suspended"
    world.road.open()
    assert told.get(timeout=PATIENCE_S) == "resumed"
    world.client.sendall(b"still")
    assert read(world.served, 5) == b"still"
    deadline = time.monotonic() + PATIENCE_S
    while there.imported != {"colour": b"green"}:  # it comes soon after the resumption
        assert time.monotonic() < deadline, there.imported
        time.sleep(0.001)


def test_what_can_not_be_had_is_refused_and_changes_nothing(world: World) -> None:
    session, child = migrate.get_session(world.served), migrate.get_session(world.client)
    suspended = threading.Event()
    session.register_handler(lambda session: suspended.set())
    with pytest.raises(migrate.RefusedError, match="not suspended"):
        session.return_cont(migrate.system())
    with pytest.raises(migrate.RefusedError, match="do not depend"):
        child.depend_on(session)
    world.road.shut()
    assert suspended.wait(PATIENCE_S)
    with pytest.raises(migrate.RefusedError, match="without a daemon nobody"):
        session.return_cont(migrate.system(descriptors={"log": 1}))
    with pytest.raises(migrate.RefusedError, match="can't end with its session"):
        session.return_cont(migrate.complete(session))
    taken = socket.socket(fileno=world.served.detach())
    session.hold(taken, session.grip)
    with pytest.raises(migrate.RefusedError, match="detached"):
        session.return_cont(migrate.system())
    world.client.sendall(b"hello")
    world.road.open()
    with taken:
        taken.settimeout(PATIENCE_S)
        assert read(taken, 5) == b"hello"


def test_all_connections_of_a_session_go_on(world: World) -> None:
    """As a client on asyncio may have them: one is in the program's hands, one not even accepted."""
    called = taking("sockets-both")
    peer = background.run(connect(*world.road.address, identity=CLIENT, judge=trust, options=OPTIONS))
    streams = [background.run(peer.open_connection(b"%d" % number)) for number in range(2)]
    served, _ = world.listener.accept()
    session = migrate.get_session(served)
    suspended = threading.Event()
    session.register_handler(lambda session: suspended.set())
    world.road.shut()
    assert suspended.wait(PATIENCE_S)
    with pytest.raises(migrate.RefusedError, match="2 connections"):
        session.return_cont(migrate.system())
    session.return_cont(migrate.internal("sockets-both"))
    world.road.open()
    for _ in streams:
        found, after = called.get(timeout=PATIENCE_S)
        assert found is session
        with after:
            after.sendall(b"connection " + after.purpose)
    ends = [background.run(reader.read(), PATIENCE_S) for reader, _ in streams]
    assert ends == [b"connection 0", b"connection 1"]
    with world.listener.accept()[0] as dead, pytest.raises(ConnectionResetError, match="given up"):
        dead.recv(1)
    background.run(peer.close(), PATIENCE_S)
