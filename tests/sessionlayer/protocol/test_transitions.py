"""The tables are complete, and whatever they do not list is an error that names state and event."""

from __future__ import annotations

import itertools

import pytest

from sessionlayer.protocol.transitions import (
    ASSOCIATION,
    SESSION,
    AssociationEvent,
    AssociationState,
    IllegalTransitionError,
    Machine,
    SessionEvent,
    SessionState,
)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(SessionState, SessionEvent)))
def test_session_events_are_listed_or_refused(state: SessionState, event: SessionEvent) -> None:
    machine = Machine(SESSION, state)
    if event in SESSION[state]:
        assert machine.allows(event)
        machine.feed(event)
        assert machine.state is SESSION[state][event]
    else:
        assert not machine.allows(event)
        with pytest.raises(IllegalTransitionError, match=f"`{event.value}`.*`{state.value}`"):
            machine.feed(event)
        assert machine.state is state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(AssociationState, AssociationEvent)))
def test_association_events_are_listed_or_refused(state: AssociationState, event: AssociationEvent) -> None:
    machine = Machine(ASSOCIATION, state)
    if event in ASSOCIATION[state]:
        machine.feed(event)
        assert machine.state is ASSOCIATION[state][event]
    else:
        with pytest.raises(IllegalTransitionError, match=f"`{event.value}`.*`{state.value}`"):
            machine.feed(event)


def test_every_state_can_be_reached_and_every_event_happens_somewhere() -> None:
    assert set(SESSION) == set(SessionState)
    assert set(ASSOCIATION) == set(AssociationState)
    assert {t for row in SESSION.values() for t in row.values()} == set(SessionState)
    assert {t for row in ASSOCIATION.values() for t in row.values()} == set(AssociationState) - {
        AssociationState.NEW
    }
    assert {e for row in SESSION.values() for e in row} == set(SessionEvent)
    assert {e for row in ASSOCIATION.values() for e in row} == set(AssociationEvent)


def test_a_connection_can_end_in_every_state_but_one() -> None:
    assert [s for s, row in SESSION.items() if SessionEvent.RELEASE not in row] == [SessionState.RELEASED]
