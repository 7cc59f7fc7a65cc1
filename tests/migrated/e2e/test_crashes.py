"""Daemons that are killed disturb nothing, and take their sessions up again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.migrated.e2e.arena import Arena

BYTES_PER_S = 5e6


@pytest.fixture(autouse=True)
def whole(arena: Arena) -> Iterator[None]:
    """Leave links and daemons as they were, whatever a test did to them."""
    yield
    arena.heal()
    for daemon in (arena.there, arena.here):
        if not daemon.running:
            daemon.start()


@pytest.mark.parametrize("victim", ["here", "there", "both"])
def test_a_daemon_killed_in_mid_transfer(arena: Arena, victim: str) -> None:
    talk = arena.session_of(bytes_per_s=BYTES_PER_S)
    victims = [getattr(arena, name) for name in (("here", "there") if victim == "both" else (victim,))]
    for daemon in victims:
        daemon.kill()
    talk.await_progress()
    marks = [daemon.mark() for daemon in victims]
    for daemon in victims:
        daemon.start()
    for daemon, mark in zip(victims, marks, strict=True):
        daemon.await_event("restored", since=mark, session=talk.session)
        daemon.await_event("associated", since=mark)
    talk.await_progress()
    for _ in range(2):
        arena.move(talk, arena.other_link(talk))
    talk.finish()


def test_a_move_without_the_peers_daemon_waits_for_it(arena: Arena) -> None:
    talk = arena.session_of(bytes_per_s=BYTES_PER_S)
    arena.there.kill()
    mark = arena.here.mark()
    link, to = arena.here.session(talk.session).link, arena.other_link(talk)
    arena.here.move(talk.session, to)
    arena.here.await_event("refused", since=mark, session=talk.session)
    talk.await_progress()
    arena.link(link).cut()
    arena.here.await_event("moving", "suspended", since=mark, session=talk.session)
    arena.there.start()
    arena.here.await_event("moved", "resumed", since=mark, session=talk.session, to=to)
    talk.await_progress()
    talk.finish()


@pytest.mark.parametrize("victim", ["here", "there"])
def test_a_daemon_killed_while_a_session_is_suspended(arena: Arena, victim: str) -> None:
    talk = arena.session_of(bytes_per_s=BYTES_PER_S)
    mark = arena.here.mark()
    for link in arena.links:
        link.cut()
    arena.here.await_event("suspended", since=mark, session=talk.session)
    daemon = arena.here if victim == "here" else arena.there
    daemon.kill()
    mark, mark_here = daemon.mark(), arena.here.mark()
    daemon.start()
    daemon.await_event("restored", since=mark, session=talk.session)
    for link in arena.links:
        link.plug()
    arena.here.await_event("resumed", since=mark_here, session=talk.session)
    talk.await_progress()
    talk.finish()
