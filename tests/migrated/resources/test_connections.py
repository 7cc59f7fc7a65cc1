"""A session's connection among other descriptors: no descriptor while it is suspended."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrated.kernel import guard as guards
from migrated.kernel.freeze import is_frozen
from migrated.kernel.guard import Ends, GuardError, guarded
from migrated.kernel.holders import duplicate
from migrated.kernel.rebind import freeze_connection, thaw_connection
from migrated.lab import is_privileged
from migrated.resources import (
    Collected,
    Owner,
    ResourceError,
    ResourceLostError,
    Resources,
    discover,
    released_connections,
)
from tests.migrated.test_kernel_rebind import Program, Two, two_hosts
from tests.migrated.test_kernel_release import ours

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`"),
]

ROOT = Owner(uid=0, gid=0)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with two_hosts() as two:
        yield two


class Suspension:
    """A client's frozen connection, twice, and a pipe: as they arrive at the daemon."""

    def __init__(self, two: Two) -> None:
        self.two = two
        self.resources: Resources = discover(plugins=False)
        self.client, self.server = two.connect()
        frozen = freeze_connection(self.client.connection)
        self.own = frozen.own
        with duplicate(self.client.connection.holders[0]) as sock:
            self.descriptors = (os.dup(sock.fileno()), *os.pipe(), os.dup(sock.fileno()))
        self.names = ("connection", "reader", "writer", "again")
        self.inode = os.fstat(self.descriptors[0]).st_ino

    def collect(self) -> Collected:
        own = {self.inode: self.own}
        return self.two.a.call(
            lambda: self.resources.collect(self.names, self.descriptors, ROOT, own),
        )

    def end(self) -> None:
        self.server.end()
        self.client.end()


def echo(sock: socket.socket, server: Program) -> None:
    sock.sendall(b"ping")
    assert server.say("recv 4") == "ping"


def test_a_suspended_connection_costs_no_descriptor(two: Two) -> None:
    session = Suspension(two)
    collected = session.collect()
    assert collected.kept == session.descriptors[1:3]
    assert len(collected.state) < 1024
    two.a.call(collected.release)
    session.client.end()
    (ends,) = released_connections(collected.state)
    assert two.a.call(guarded) == {ends}
    result = two.a.call(lambda: session.resources.restore(collected.state, collected.kept, ROOT))
    assert two.a.call(guarded) == frozenset()
    with socket.socket(fileno=result.descriptors[0]) as sock:
        assert os.path.sameopenfile(result.descriptors[0], result.descriptors[3])
        thaw_connection(ours(sock), session.own)
        echo(sock, session.server)
    for number in result.descriptors[1:]:
        os.close(number)
    session.server.end()


def test_what_is_withdrawn_goes_on(two: Two) -> None:
    session = Suspension(two)
    two.a.call(session.collect().withdraw)
    assert two.a.call(guarded) == frozenset()
    thaw_connection(session.client.connection, session.own)
    assert session.client.say("send fine") == "sent"
    assert session.server.say("recv 4") == "fine"
    for number in session.descriptors:
        os.close(number)
    session.end()


def test_a_restoration_that_fails_gives_the_connection_up_again(two: Two) -> None:
    session = Suspension(two)
    collected = session.collect()
    two.a.call(collected.release)
    session.client.end()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ResourceLostError, match="`reader`"):
        two.a.call(lambda: session.resources.restore(collected.state, (), ROOT))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert two.a.call(guarded) == set(released_connections(collected.state))
    assert session.server.say("send hello") == "sent"
    result = two.a.call(lambda: session.resources.restore(collected.state, collected.kept, ROOT))
    with socket.socket(fileno=result.descriptors[0]) as sock:
        thaw_connection(ours(sock), session.own)
        assert sock.recv(5, socket.MSG_WAITALL) == b"hello"
    for number in result.descriptors[1:]:
        os.close(number)
    session.server.end()


def test_the_place_of_another_is_not_taken(two: Two) -> None:
    session = Suspension(two)
    collected = session.collect()
    with pytest.raises(ResourceError, match="`connection`: can't make the connection again"):
        two.a.call(lambda: session.resources.restore(collected.state, collected.kept, ROOT))
    two.a.call(collected.withdraw)
    for number in session.descriptors:
        os.close(number)
    session.end()


@pytest.mark.parametrize("why", ["not a session's", "not frozen", "no guard"])
def test_what_can_not_be_released_is_kept(two: Two, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise GuardError("no nftables")

    session = Suspension(two)
    if why == "not a session's":
        session.inode = 0
    elif why == "not frozen":
        thaw_connection(session.client.connection, session.own)
    else:
        monkeypatch.setattr("migrated.resources.connections.guard", refuse)
    collected = session.collect()
    assert collected.kept == session.descriptors[:3]
    assert released_connections(collected.state) == ()
    two.a.call(collected.release)
    session.client.end()
    result = two.a.call(lambda: session.resources.restore(collected.state, collected.kept, ROOT))
    with socket.socket(fileno=result.descriptors[0]) as sock:
        if is_frozen(sock):
            thaw_connection(ours(sock), session.own)
        echo(sock, session.server)
    for number in result.descriptors[1:]:
        os.close(number)
    session.server.end()


def test_an_ended_session_leaves_no_guard(two: Two) -> None:
    session = Suspension(two)
    collected = session.collect()
    two.a.call(collected.release)
    assert two.a.call(guarded) == {
        Ends(local=e.local, remote=e.remote) for e in released_connections(collected.state)
    }
    two.a.call(lambda: session.resources.discard(collected.state))
    assert two.a.call(guarded) == frozenset()
    two.a.call(guards.remove_if_empty)
    for number in collected.kept:
        os.close(number)
    session.end()
