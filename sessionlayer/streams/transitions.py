"""The two state machines of the virtual streams as literal tables.

What is not in a table cannot happen. What a *peer* sends is judged before it becomes an event.
``docs/streams.md`` shows both tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class SessionPhase(Enum):
    """Whether the peer can be reached.

    CONNECTED    there is a control transport
    INTERRUPTED  it has died, less than a second ago
    SUSPENDED    the peer can't be reached; connections wait
    CLOSED       over, for whatever reason
    """

    CONNECTED = "connected"
    INTERRUPTED = "interrupted"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class SessionEvent(Enum):
    """What can happen to a session."""

    CONTROL = "control transport opened"
    LOST = "control transport lost"
    LASTED = "a second without one"
    SILENCE = "3 s of silence"
    EXPIRED = "suspended for too long"
    CLOSE = "closed by either end"


_S, _SE = SessionPhase, SessionEvent

SESSION: Mapping[SessionPhase, Mapping[SessionEvent, SessionPhase]] = {
    _S.CONNECTED: {
        _SE.CONTROL: _S.CONNECTED,
        _SE.LOST: _S.INTERRUPTED,
        _SE.SILENCE: _S.SUSPENDED,
        _SE.CLOSE: _S.CLOSED,
    },
    _S.INTERRUPTED: {_SE.CONTROL: _S.CONNECTED, _SE.LASTED: _S.SUSPENDED, _SE.CLOSE: _S.CLOSED},
    _S.SUSPENDED: {_SE.CONTROL: _S.CONNECTED, _SE.EXPIRED: _S.CLOSED, _SE.CLOSE: _S.CLOSED},
    _S.CLOSED: {},
}


class ConnectionPhase(Enum):
    """What the two ends know of a connection.

    OPENING  the server has not yet said whether it takes it
    OPEN     bytes flow, or wait for a transport
    RESET    given up here, or refused; stated until the peer knows
    GONE     over at this end
    """

    OPENING = "opening"
    OPEN = "open"
    RESET = "reset"
    GONE = "gone"


class ConnectionEvent(Enum):
    """What can happen to a connection."""

    ADMIT = "admitted"
    REFUSE = "we refuse"
    REFUSED = "refused"
    ABORT = "given up here"
    PEER_RESET = "given up by the peer"
    FINISHED = "both directions ended and acknowledged"
    PEER_GONE = "peer has finished with it"


_C, _CE = ConnectionPhase, ConnectionEvent

CONNECTION: Mapping[ConnectionPhase, Mapping[ConnectionEvent, ConnectionPhase]] = {
    _C.OPENING: {
        _CE.ADMIT: _C.OPEN,
        _CE.REFUSE: _C.RESET,
        _CE.REFUSED: _C.GONE,
        _CE.ABORT: _C.RESET,
        _CE.PEER_RESET: _C.GONE,
        _CE.PEER_GONE: _C.GONE,
    },
    _C.OPEN: {
        _CE.ABORT: _C.RESET,
        _CE.REFUSED: _C.GONE,
        _CE.PEER_RESET: _C.GONE,
        _CE.FINISHED: _C.GONE,
        _CE.PEER_GONE: _C.GONE,
    },
    _C.RESET: {_CE.REFUSED: _C.GONE, _CE.PEER_RESET: _C.GONE, _CE.PEER_GONE: _C.GONE},
    _C.GONE: {},
}
