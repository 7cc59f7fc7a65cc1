"""The two state machines of the protocol as literal tables.

What is not in a table cannot happen: it raises an error that names the state and the event. What a *peer*
sends is judged before it becomes an event, so that a peer can never cause that error. ``docs/protocol.md``
shows both tables as pictures; ``python -m sessionlayer.protocol.diagram`` draws them.

Source: docs/design.md, "A move".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from sessionlayer.protocol.errors import LocalProtocolError


class AssociationState(Enum):
    """How far the trust and keys between two daemons are, and whether the peer is heard."""

    NEW = "new"
    AWAITING_REPLY = "awaiting reply"
    AWAITING_PROOF = "awaiting proof"
    AWAITING_VERDICT = "awaiting verdict"
    HEARD = "heard"
    SILENT = "silent"
    CLOSED = "closed"


class AssociationEvent(Enum):
    """What can happen to an association."""

    OPEN = "we open"
    OPENED = "peer opens"
    REPLY = "peer replies"
    PROOF = "peer proves itself"
    VERDICT = "peer accepts"
    REFUSE = "refused"
    DATAGRAM = "datagram heard"
    SILENCE = "3 s of silence"
    RENEW = "new handshake"


_A, _AE = AssociationState, AssociationEvent

ASSOCIATION: Mapping[AssociationState, Mapping[AssociationEvent, AssociationState]] = {
    _A.NEW: {_AE.OPEN: _A.AWAITING_REPLY, _AE.OPENED: _A.AWAITING_PROOF},
    _A.AWAITING_REPLY: {_AE.REPLY: _A.AWAITING_VERDICT, _AE.REFUSE: _A.CLOSED},
    _A.AWAITING_PROOF: {_AE.PROOF: _A.HEARD, _AE.REFUSE: _A.CLOSED},
    _A.AWAITING_VERDICT: {_AE.VERDICT: _A.HEARD, _AE.REFUSE: _A.CLOSED},
    _A.HEARD: {_AE.DATAGRAM: _A.HEARD, _AE.SILENCE: _A.SILENT, _AE.RENEW: _A.HEARD},
    _A.SILENT: {_AE.DATAGRAM: _A.HEARD, _AE.RENEW: _A.HEARD},
    _A.CLOSED: {},
}


class SessionState(Enum):
    """What the two ends of a session's connection are doing about its place.

    SETTLED     no move is under way
    ASKING      frozen here; our request is repeated until it is answered
    FINISHING   the peer answered; our shell works on the socket
    CONFIRMING  in place and live; HANDOFF-DONE is repeated until it is acknowledged
    REBINDING   the peer asked; our shell works on the socket
    HOLDING     rebound and answered; silent until the mover is heard
    FROZEN      held for too long, so frozen until the mover is in place or asks again
    PARKED      frozen with no move under way; only another move brings it back
    RELEASED    the connection has ended
    """

    SETTLED = "settled"
    ASKING = "asking"
    FINISHING = "finishing"
    CONFIRMING = "confirming"
    REBINDING = "rebinding"
    HOLDING = "holding"
    FROZEN = "frozen"
    PARKED = "parked"
    RELEASED = "released"


class SessionEvent(Enum):
    """What can happen to a session."""

    ASK = "we move"
    ANSWERED = "peer answers"
    REFUSED = "peer refuses"
    REFUSED_UNMOVED = "peer refuses, nothing moved"
    MOVED = "finished"
    MOVE_FAILED = "finishing fails"
    CONFIRMED = "done is acknowledged"
    REQUESTED = "peer moves"
    REBOUND = "rebound, silent"
    REBOUND_LIVE = "rebound, mover in place"
    PUT_BACK = "rebinding fails, live again"
    PUT_BACK_HELD = "rebinding fails, held again"
    PUT_BACK_PARKED = "rebinding fails, parked again"
    ASKED_AGAIN = "peer asks again"
    HELD_TOO_LONG = "held too long"
    DONE = "mover is in place"
    RELEASE = "connection ends"


_S, _SE = SessionState, SessionEvent

SESSION: Mapping[SessionState, Mapping[SessionEvent, SessionState]] = {
    _S.SETTLED: {_SE.ASK: _S.ASKING, _SE.REQUESTED: _S.REBINDING, _SE.RELEASE: _S.RELEASED},
    _S.ASKING: {
        _SE.ASK: _S.ASKING,
        _SE.ANSWERED: _S.FINISHING,
        _SE.REFUSED: _S.PARKED,
        _SE.REFUSED_UNMOVED: _S.CONFIRMING,
        _SE.REQUESTED: _S.REBINDING,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.FINISHING: {
        _SE.MOVED: _S.CONFIRMING,
        _SE.MOVE_FAILED: _S.PARKED,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.CONFIRMING: {
        _SE.CONFIRMED: _S.SETTLED,
        _SE.ASK: _S.ASKING,
        _SE.REQUESTED: _S.REBINDING,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.REBINDING: {
        _SE.REBOUND: _S.HOLDING,
        _SE.REBOUND_LIVE: _S.SETTLED,
        _SE.PUT_BACK: _S.SETTLED,
        _SE.PUT_BACK_HELD: _S.FROZEN,
        _SE.PUT_BACK_PARKED: _S.PARKED,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.HOLDING: {
        _SE.DONE: _S.SETTLED,
        _SE.HELD_TOO_LONG: _S.FROZEN,
        _SE.ASKED_AGAIN: _S.HOLDING,
        _SE.ASK: _S.ASKING,
        _SE.REQUESTED: _S.REBINDING,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.FROZEN: {
        _SE.DONE: _S.SETTLED,
        _SE.ASKED_AGAIN: _S.HOLDING,
        _SE.ASK: _S.ASKING,
        _SE.REQUESTED: _S.REBINDING,
        _SE.RELEASE: _S.RELEASED,
    },
    _S.PARKED: {_SE.ASK: _S.ASKING, _SE.REQUESTED: _S.REBINDING, _SE.RELEASE: _S.RELEASED},
    _S.RELEASED: {},
}

StateT = TypeVar("StateT", bound=Enum)
EventT = TypeVar("EventT", bound=Enum)


class IllegalTransitionError(LocalProtocolError):
    """Say that an event cannot happen in a state."""


class Machine(Generic[StateT, EventT]):
    """A state, and the table that says where events lead from it."""

    def __init__(self, table: Mapping[StateT, Mapping[EventT, StateT]], start: StateT) -> None:
        self._table = table
        self.state = start

    def allows(self, event: EventT) -> bool:
        """Return whether ``event`` can happen now."""
        return event in self._table[self.state]

    def feed(self, event: EventT) -> None:
        """Go where ``event`` leads.

        Raises:
            IllegalTransitionError: the table has no such event in this state.
        """
        if event not in self._table[self.state]:
            raise IllegalTransitionError(f"`{event.value}` cannot happen in state `{self.state.value}`")
        self.state = self._table[self.state][event]
