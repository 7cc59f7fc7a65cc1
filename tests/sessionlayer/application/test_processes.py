"""Complete continuations: a real process ends, and a real one goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from sessionlayer.application.memory import write_memory
from sessionlayer.application.messages import GetSession, Granted, RegisterHandler, Suspend
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import Kind
from tests.processes import killed_at_last
from tests.sessionlayer.application.fake_daemon import SESSION, FakeDaemon

Ends = tuple[socket.socket, socket.socket]
ROOT = Path(__file__).parents[3]
WAIT_S = 60

PROGRAM = """
import atexit, os, socket, sys
import sessionlayer as migrate

session = migrate.continued()
if session is None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    session = migrate.get_session(connection)
    session.store("greeting", b"hello from the next process")
    atexit.register(lambda: connection.sendall(b"an orderly end would have said this"))
    session.register_handler(lambda session: migrate.complete(session, descriptors={"log": 1}))
    connection.recv(1)
else:
    text = session.retrieve("greeting") + f" {os.environ['MIGRATE_PID']} {list(session.descriptors)}".encode()
    session.connection.sendall(text)
"""


def start(daemon: FakeDaemon, inherited: int, **variables: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "MIGRATE_APPLICATION_SOCKET": daemon.path, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(inherited)],
        env={**environment, **variables},
        pass_fds=[inherited],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )


def test_a_process_ends_and_another_goes_on(daemon: FakeDaemon, connection: Ends) -> None:
    program, client = connection
    with killed_at_last(start(daemon, program.fileno())) as first:
        daemon.grant_session()
        daemon.grant(daemon.expect(RegisterHandler).number)
        daemon.say(Suspend(session=SESSION, because=("no-link",), deadline_s=5.0, required=True))
        record, descriptors = daemon.take_continuation()
        assert first.wait(WAIT_S) == 0
    process = record.process
    assert process is not None
    assert record.kind is Kind.COMPLETE
    assert process.argv == (sys.executable, "-c", PROGRAM, str(program.fileno()))
    assert (process.directory, process.uid) == (str(ROOT), os.getuid())
    conversation = daemon.converse()
    started = start(daemon, conversation, MIGRATE_CONT=str(conversation), MIGRATE_PID=str(first.pid))
    with killed_at_last(started) as second:
        request = daemon.expect(GetSession)
        assert daemon.received == []
        memory = write_memory(encode(record))
        granted = Granted(number=request.number, session=SESSION, peer="192.0.2.1 port 80", continued=True)
        daemon.say(granted, (memory, *descriptors))
        assert second.wait(WAIT_S) == 0
        assert second.stdout is not None
    assert client.recv(200) == b"hello from the next process %d ['log']" % first.pid
    for descriptor in (memory, conversation, *descriptors):
        os.close(descriptor)
