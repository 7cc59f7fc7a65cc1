"""Programs of every style keep talking in both directions while their connection moves."""

from __future__ import annotations

import pytest

from migrated.lab import SERVER_V6
from tests.migrated.e2e.arena import Arena

MOVES, ROUNDS = 10, 3
PROGRESS_S = 10.0
"""Within it data flows after a move, on a machine that is busy for a moment too."""

STYLES = ("blocking", "threads", "forked", "epoll-level", "epoll-edge")


@pytest.mark.parametrize("style", STYLES)
def test_moves_do_not_disturb(arena: Arena, style: str) -> None:
    talk = arena.session_of(style, server_style=style)
    arena.move_around(talk, 6)
    talk.finish()


@pytest.mark.alone
def test_a_move_need_not_be_asked_for_twice_and_data_flows_at_once(arena: Arena) -> None:
    talk = arena.session_of(bytes_per_s=0)

    def repeated() -> int:
        """Return how many of ten moves had to be asked for once more."""
        before = arena.repeated
        arena.move_around(talk, MOVES, PROGRESS_S)
        return arena.repeated - before

    assert any(repeated() == 0 for _ in range(ROUNDS))
    talk.finish()


@pytest.mark.parametrize("style", ["threads", "epoll-edge"])
def test_moves_under_full_load_in_both_directions(arena: Arena, style: str) -> None:
    talk = arena.session_of(style, server_style=style, bytes_per_s=0)
    arena.move_around(talk, 6)
    talk.finish()


def test_ipv6(arena: Arena) -> None:
    talk = arena.session_of(address=SERVER_V6)
    arena.move_around(talk, 4)
    talk.finish()


def test_a_dual_stack_server(arena: Arena) -> None:
    talk = arena.session_of(listen="::")
    arena.move_around(talk, 4)
    talk.finish()


def test_a_server_on_an_ephemeral_port(arena: Arena) -> None:
    talk = arena.session_of(port=0)
    arena.move_around(talk, 4)
    talk.finish()


def test_a_connection_that_is_idle_most_of_the_time(arena: Arena) -> None:
    talk = arena.session_of("blocking", server_style="blocking", bytes_per_s=50_000)
    arena.move_around(talk, 4)
    talk.finish()
