"""A program with threads and a scripted daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

import sessionlayer as migrate
from sessionlayer.application.hub import program_name
from sessionlayer.application.messages import (
    CloseSession,
    Denied,
    DependOn,
    Ended,
    Export,
    Freeze,
    GetSession,
    HandlerFailed,
    KeepRunning,
    RegisterAttachHandler,
    RegisterCompatibility,
    RegisterHandler,
    Resume,
    ReturnContinuation,
    Suspend,
)
from sessionlayer.continuations.values import CONNECTION, Kind
from sessionlayer.continuations.values import Continuation as Record
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import PATIENCE_S, SESSION, FakeDaemon

Ends = tuple[socket.socket, socket.socket]

SUSPEND = Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True)


def called(daemon: FakeDaemon, call: Any, kind: type[Any], **answer: Any) -> Any:
    """Run a call that waits for the daemon's answer to a request of this kind."""
    with daemon.asked(call) as waiting:
        request = daemon.expect(kind)
        daemon.say(Denied(number=request.number, **answer)) if answer else daemon.grant(request.number)
        waiting.result(PATIENCE_S)
        return request


def session_of(daemon: FakeDaemon, program: socket.socket, handler: Any = None) -> migrate.Session:
    with daemon.asked(lambda: migrate.get_session(program)) as waiting:
        daemon.grant_session()
        session = waiting.result(PATIENCE_S)
    if handler is not None:
        called(daemon, lambda: session.register_handler(handler), RegisterHandler)
    return session


def test_a_session_belongs_to_its_connection(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0])
    assert os.fstat(daemon.received[0]).st_ino == os.fstat(connection[0].fileno()).st_ino
    assert (session.id, session.peer, session.suspended) == (SESSION, "192.0.2.1 port 80", False)
    assert session_of(daemon, connection[0]) is session


def test_what_is_no_session_says_why(daemon: FakeDaemon, connection: Ends) -> None:
    with pytest.raises(migrate.RefusedError, match="no daemon there") as caught:
        called(
            daemon,
            lambda: migrate.get_session(connection[0]),
            GetSession,
            code="no-peer",
            reason="no daemon there",
        )
    assert caught.value.code == "no-peer"


def test_without_a_daemon_the_error_says_what_to_do(
    connection: Ends, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.stop()
    assert not migrate.available()
    with pytest.raises(migrate.UnavailableError, match="start the daemon with `migrated`"):
        migrate.get_session(connection[0])
    monkeypatch.setenv("MIGRATE_APPLICATION_SOCKET", "")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    with pytest.raises(migrate.UnavailableError):
        migrate.get_session(connection[0])


def test_a_handler_that_returns_nothing_keeps_running(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0], lambda session: None)
    resumed = threading.Event()
    session.on_resume(lambda session: resumed.set())
    daemon.say(SUSPEND)
    assert daemon.expect(KeepRunning).session == SESSION
    assert (session.suspended, session.because) == (True, ("no-link",))
    outcome = session.resumed()
    daemon.say(Resume(session=SESSION, imported={"level": b"7"}))
    assert outcome.result(PATIENCE_S) is connection[0]
    assert resumed.wait(PATIENCE_S)
    assert (session.suspended, session.imported) == (False, {"level": b"7"})


def test_a_handler_that_raises_is_told_of(
    daemon: FakeDaemon, connection: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(session: migrate.Session) -> None:
        raise ZeroDivisionError("by zero")

    session = session_of(daemon, connection[0], handler)
    daemon.say(SUSPEND)
    assert daemon.expect(HandlerFailed).reason == "ZeroDivisionError: by zero"
    assert session.suspended
    assert "by zero" in caplog.text


def test_a_handler_is_not_entered_again(daemon: FakeDaemon, connection: Ends) -> None:
    entered, release, calls = threading.Semaphore(0), threading.Event(), []

    def handler(session: migrate.Session) -> None:
        calls.append(session)
        entered.release()
        release.wait(PATIENCE_S)

    session_of(daemon, connection[0], handler)
    daemon.say(SUSPEND)
    assert entered.acquire(timeout=PATIENCE_S)
    daemon.say(SUSPEND)
    assert len(calls) == 1
    release.set()
    daemon.expect(KeepRunning)


def test_an_internal_continuation_goes_there_and_back(daemon: FakeDaemon, connection: Ends) -> None:
    gone_on: list[Any] = []
    done = threading.Event()

    @migrate.function("threads-resume")
    def resume(session: migrate.Session, connection: socket.socket) -> None:
        gone_on.append((session, session.retrieve("index"), session.descriptors))
        connection.sendall(b"hello again")
        connection.close()
        done.set()

    reading, writing = os.pipe()

    def handler(session: migrate.Session) -> migrate.Continuation:
        session.store("index", b"42")
        return migrate.internal(resume, descriptors={"pipe": reading})

    session = session_of(daemon, connection[0], handler)
    session.compat_store(migrate.python_tag())
    daemon.say(SUSPEND)
    attach = daemon.expect(RegisterAttachHandler)
    daemon.grant(attach.number)
    record, descriptors = daemon.take_continuation()
    assert record.kind is Kind.INTERNAL
    assert (record.descriptors, record.attributes) == ((CONNECTION, "pipe"), {"index": b"42"})
    assert record.compatibility == (migrate.python_tag(),)
    daemon.invoke(record, descriptors)
    assert connection[1].recv(100) == b"hello again"
    assert done.wait(PATIENCE_S)
    assert connection[0].fileno() == -1
    (found,) = gone_on
    assert found[:2] == (session, b"42")
    os.close(found[2]["pipe"])
    os.close(writing)


def test_a_denied_continuation_leaves_the_program_its_connection(
    daemon: FakeDaemon, connection: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    session = session_of(daemon, connection[0])
    with daemon.asked(lambda: session.return_cont(migrate.system())) as waiting:
        daemon.deny_continuation()
    with pytest.raises(migrate.RefusedError, match="no room"):
        waiting.result(PATIENCE_S)
    assert connection[0].fileno() > 0


def test_a_system_continuation_brings_the_connection_back(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0], lambda session: migrate.system())
    daemon.say(SUSPEND)
    record, descriptors = daemon.take_continuation()
    assert record.kind is Kind.SYSTEM
    with pytest.raises(migrate.MigrateError, match="given up already"):
        session.return_cont(migrate.system())
    outcome = session.resumed()
    daemon.invoke(record, descriptors)
    with outcome.result(PATIENCE_S) as found:
        found.sendall(b"back")
        assert connection[1].recv(100) == b"back"


def test_a_session_may_come_back_before_the_giving_thread_has_gone_on(
    daemon: FakeDaemon, connection: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is closed then is the connection that was given up, and not the one that has come back."""
    session = session_of(daemon, connection[0], lambda session: None)
    daemon.say(SUSPEND)
    daemon.expect(KeepRunning)
    give_up, settle, coming_back = session.backend.give_up, session.giving.settle, threading.Event()

    def slowly(*arguments: Any) -> Any:
        asked = give_up(*arguments)
        assert coming_back.wait(PATIENCE_S)
        return asked

    def settled() -> None:
        coming_back.set()
        settle()

    monkeypatch.setattr(session.backend, "give_up", slowly)
    monkeypatch.setattr(session.giving, "settle", settled)
    outcome = session.resumed()
    with daemon.asked(lambda: session.return_cont(migrate.system())) as waiting:
        daemon.invoke(*daemon.take_continuation())
        waiting.result(PATIENCE_S)
    with outcome.result(PATIENCE_S) as found:
        found.sendall(b"back")
        assert connection[1].recv(100) == b"back"
    assert connection[0].fileno() == -1


@pytest.mark.parametrize("lazy", [True, False])
def test_a_handler_is_called_only_when_the_continuation_is_needed(
    daemon: FakeDaemon, connection: Ends, lazy: bool
) -> None:
    """A policy may spare a program that has not asked for it."""
    calls: list[migrate.Session] = []
    session = session_of(daemon, connection[0])
    called(daemon, lambda: session.register_handler(calls.append, lazy=lazy), RegisterHandler)
    daemon.say(Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=False))
    daemon.say(SUSPEND)
    daemon.expect(KeepRunning)
    assert calls == [session]


def test_a_session_in_name_only_does_nothing_and_keeps_its_connection(
    daemon: FakeDaemon, connection: Ends
) -> None:
    daemon.stop()
    session = migrate.get_session(connection[0], optional=True)
    session.register_handler(lambda session: migrate.internal("never"))
    session.store("index", b"1")
    session.export("index")
    session.depend_on(session)
    assert (session.retrieve("index"), session.suspended) == (b"1", False)
    assert session.resumed().result(0) is connection[0]
    for refused in (session.freeze, lambda: session.return_cont(migrate.system())):
        with pytest.raises(migrate.RefusedError):
            refused()
    session.close()
    assert connection[0].fileno() > 0


def test_a_forked_process_has_a_conversation_of_its_own(daemon: FakeDaemon, connection: Ends) -> None:
    program = (
        "import os, sessionlayer as migrate\n"
        "migrate.available()\n"
        "child = os.fork()\n"
        "if child: os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        f"session = migrate.get_session({connection[0].fileno()})\n"
        "os._exit(0 if session.peer else 1)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    started = subprocess.Popen(command, env=environment, pass_fds=[connection[0].fileno()])
    with killed_at_last(started) as process:
        daemon.accept()  # the parent's
        daemon.accept()
        daemon.grant_session()
        assert process.wait(PATIENCE_S) == 0


def test_the_end_of_a_session_is_told(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0], lambda session: None)
    told = threading.Event()
    session.on_end(lambda session: told.set())
    daemon.say(SUSPEND)
    daemon.expect(KeepRunning)
    outcome = session.resumed()
    daemon.say(Ended(session=SESSION, code="expired", reason="nobody came back"))
    with pytest.raises(migrate.SessionEndedError, match="nobody came back"):
        outcome.result(PATIENCE_S)
    assert told.wait(PATIENCE_S)
    assert session.ended is not None
    assert session.ended.code == "expired"
    with pytest.raises(migrate.SessionEndedError):
        migrate.complete(session)


def test_the_other_requests_are_made(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0])
    session.store("level", b"7")
    assert called(daemon, lambda: session.export("level"), Export).values == {"level": b"7"}
    with pytest.raises(migrate.RefusedError, match="itself"):
        called(daemon, lambda: session.depend_on(session), DependOn, code="cycle", reason="on itself")
    assert called(daemon, session.freeze, Freeze).session == SESSION
    tags = migrate.package_tags("msgspec")
    vector = called(daemon, lambda: migrate.register_compat_vector(*tags), RegisterCompatibility)
    assert (vector.program, vector.tags) == (program_name(), tags)
    vector = called(
        daemon, lambda: migrate.register_compat_vector(*tags, program="counter"), RegisterCompatibility
    )
    assert vector.program == "counter"
    assert called(daemon, session.close, CloseSession).session == SESSION


def test_a_vector_needs_no_thread(daemon: FakeDaemon) -> None:
    """A listener that forks a process for each connection may register its own."""
    before = set(threading.enumerate())
    assert migrate.available()
    daemon.accept()
    with daemon.asked(lambda: migrate.register_compat_vector(migrate.python_tag())) as waiting:
        daemon.accept()
        request = daemon.expect(RegisterCompatibility)
        daemon.say(Denied(number=request.number, code="store", reason="the disk is full"))
        with pytest.raises(migrate.RefusedError, match="disk is full"):
            waiting.result(PATIENCE_S)
    assert set(threading.enumerate()) <= before


def test_an_optional_session_is_not_waited_for_and_comes_later(daemon: FakeDaemon, connection: Ends) -> None:
    with daemon.asked(lambda: migrate.get_session(connection[0], optional=True)) as waiting:
        request = daemon.expect(GetSession)
        assert request.wait_s == 0
        daemon.say(Denied(number=request.number, code="not-adopted", reason="not yet"))
        session = waiting.result(PATIENCE_S)
    asked: list[bytes] = []
    session.register_handler(lambda session: asked.append(session.id))
    session.store("level", b"7")
    session.export("level")
    assert (session.id, session.suspended) == (b"", False)
    assert daemon.grant_session().wait_s > 0
    assert daemon.expect(RegisterHandler).session == SESSION
    assert daemon.expect(Export).values == {"level": b"7"}
    daemon.say(SUSPEND)
    assert daemon.expect(KeepRunning).session == SESSION
    assert asked == [session.id] == [SESSION]
    assert session_of(daemon, connection[0]) is session


def test_an_optional_session_that_was_closed_does_not_come(daemon: FakeDaemon, connection: Ends) -> None:
    with daemon.asked(lambda: migrate.get_session(connection[0], optional=True)) as waiting:
        request = daemon.expect(GetSession)
        daemon.say(Denied(number=request.number, code="not-adopted", reason="not yet"))
        session = waiting.result(PATIENCE_S)
    session.register_handler(lambda session: None)
    session.close()
    daemon.grant_session()
    other = session_of(daemon, connection[0])
    assert (other is session, session.id) == (False, b"")


def test_a_handler_is_told_that_its_continuation_was_not_taken(
    daemon: FakeDaemon, connection: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    session = session_of(
        daemon, connection[0], lambda session: migrate.complete(session, compatibility=[migrate.python_tag()])
    )
    denied: SimpleQueue[BaseException] = SimpleQueue()
    session.on_denied(lambda session, error: denied.put(error))
    daemon.say(SUSPEND)
    record = daemon.deny_continuation()
    assert record.compatibility == (migrate.python_tag(),)
    assert isinstance(denied.get(timeout=PATIENCE_S), migrate.RefusedError)
    assert session.suspended
    assert connection[0].fileno() > 0
    daemon.expect(HandlerFailed)


def test_an_attach_handler_takes_up_what_others_gave_up(daemon: FakeDaemon, connection: Ends) -> None:
    taken: list[Any] = []
    done = threading.Event()

    def attach(session: migrate.Session, connection: socket.socket) -> None:
        taken.append((session.id, session.retrieve("mount"), connection))
        done.set()

    called(daemon, lambda: migrate.register_attach_handler("radio", attach), RegisterAttachHandler)
    other = bytes(16)
    record = migrate.Continuation(function="elsewhere")
    assert record.kind is Kind.INTERNAL
    daemon.invoke(
        Record(descriptors=(CONNECTION,), attributes={"mount": b"/live"}, function="elsewhere"),
        [os.dup(connection[0].fileno())],
        session=other,
        program="radio",
    )
    assert done.wait(PATIENCE_S)
    assert taken[0][:2] == (other, b"/live")
    taken[0][2].close()


def test_of_two_attach_handlers_the_one_of_the_program_is_called(
    daemon: FakeDaemon, connection: Ends
) -> None:
    taken: SimpleQueue[tuple[str, migrate.Session]] = SimpleQueue()
    for name in ("radio", "phone"):

        def attach(session: migrate.Session, connection: socket.socket, name: str = name) -> None:
            taken.put((name, session))

        called(daemon, lambda n=name, a=attach: migrate.register_attach_handler(n, a), RegisterAttachHandler)
    record = Record(descriptors=(CONNECTION,), function="elsewhere")
    daemon.invoke(record, [os.dup(connection[0].fileno())], program="phone")
    name, session = taken.get(timeout=PATIENCE_S)
    assert name == "phone"
    again = called(daemon, lambda: session.return_cont(migrate.system()), ReturnContinuation)
    assert again.program == "phone"


def test_a_daemon_that_comes_back_is_told_everything_again(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0], lambda session: None)
    session.store("level", b"7")
    called(daemon, lambda: session.export("level"), Export)
    called(daemon, lambda: migrate.register_attach_handler("radio", print), RegisterAttachHandler)
    daemon.stop()
    daemon.start()
    assert daemon.expect(RegisterAttachHandler).program == "radio"
    daemon.grant_session()
    assert daemon.expect(RegisterHandler).session == SESSION
    assert daemon.expect(Export).values == {"level": b"7"}
    daemon.say(SUSPEND)
    daemon.expect(KeepRunning)


def test_a_session_that_was_given_up_waits_also_for_a_daemon_that_comes_back(
    daemon: FakeDaemon, connection: Ends
) -> None:
    session = session_of(daemon, connection[0], lambda session: migrate.system())
    daemon.say(SUSPEND)
    record, descriptors = daemon.take_continuation()
    outcome = session.resumed()
    daemon.stop()
    daemon.start()
    request = daemon.expect(RegisterHandler)
    assert request.session == SESSION
    daemon.grant(request.number)
    daemon.invoke(record, descriptors)
    with outcome.result(PATIENCE_S) as found:
        found.sendall(b"back")
        assert connection[1].recv(100) == b"back"


def test_a_session_that_the_daemon_has_lost_has_ended(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0], lambda session: None)
    told = threading.Event()
    session.on_end(lambda session: told.set())
    daemon.stop()
    daemon.start()
    request = daemon.expect(GetSession)
    daemon.say(Denied(number=request.number, code="unknown", reason="no such session"))
    assert told.wait(PATIENCE_S)
    assert session.ended is not None
    assert session.ended.code == "lost"


def test_what_is_asked_while_the_daemon_is_away_fails(daemon: FakeDaemon, connection: Ends) -> None:
    session = session_of(daemon, connection[0])
    daemon.stop()
    with pytest.raises(migrate.DaemonGoneError):
        session.freeze()
