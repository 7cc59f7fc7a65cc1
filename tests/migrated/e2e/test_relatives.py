"""Sessions that depend on others, denials, and lazy handlers: the library and the daemon together."""

from __future__ import annotations

import sys

from migrated.lab import SERVER_V4
from sessionlayer.application.messages import SOCKET_NAME
from tests.migrated.e2e.arena import PROGRAMS, Arena, Program
from tests.migrated.e2e.counting import PATIENCE_S, READER

PORT = "3950"


def test_a_child_is_suspended_with_its_parent_and_frozen_when_it_is_needed(arena: Arena) -> None:
    path = arena.there.folder / "run" / SOCKET_NAME
    relatives = [sys.executable, str(PROGRAMS / "relatives.py"), PORT]
    server = Program(arena.net.server, ["env", f"MIGRATE_APPLICATION_SOCKET={path}", *relatives])
    server.line("listening")
    reader = [sys.executable, "-c", READER, SERVER_V4, PORT]
    parent_client = Program(arena.net.client, reader)
    parent_client.line("connected")
    child_client = Program(arena.net.client, reader)
    child_client.line("connected")
    child, parent = server.line(r"(\w+) (\w+)", PATIENCE_S).groups()
    for code in ("cycle", "not-suspended", "not-suspended"):
        server.line(f"denied {code}")
    parent_client.await_received(5, PATIENCE_S)
    mark = arena.there.mark()
    for link in reversed(arena.links):  # the one in use last, or the client begins to move
        link.cut()
    server.line("suspended parent", PATIENCE_S)
    server.line(f"session {parent}, which it depends on, is suspended", PATIENCE_S)
    server.line("suspended child", PATIENCE_S)
    arena.there.await_event("given-up", since=mark, session=child)
    first, second = arena.there.since(mark, "suspended")
    assert (first.fields["session"], second.fields["session"]) == (parent, child)
    arena.link("ppp0").plug()
    assert {server.line(".*", PATIENCE_S)[0] for _ in range(2)} == {"resumed parent", "invoked"}
    parent_client.await_received(parent_client.received + 5, PATIENCE_S)
    child_client.await_received(10, PATIENCE_S)
    for program in (parent_client, child_client, server):
        program.process.kill()
        program.process.wait()
