"""What becomes of the continuation of a session that has expired: who is told, and how.

The paper leaves open how a continuation may be disposed of without leaving its program in an inappropriate
state (section IV-C). Here a program chooses: its continuation is invoked once more, without a connection,
if it was made with ``on_expiry``; otherwise programs that run are told, and one that has ended for
the sake of its continuation is not started to hear that it was in vain.
"""

from __future__ import annotations

from enum import Enum

from sessionlayer.continuations.values import Continuation, Kind


class Farewell(Enum):
    """How a program learns that its session has expired.

    * ``INVOKE``: its function is called without a connection, in a process that runs (`Invoke.expired`).
    * ``START``: its process is started anew without a connection, to clean up.
    * ``TELL``: it is sent `Ended`, if it runs.
    """

    INVOKE = "invoke"
    START = "start"
    TELL = "tell"


def farewell(continuation: Continuation | None) -> Farewell:
    """Return how the program of an expired session is told.

    Args:
        continuation: the session's; ``None`` where its program has kept running.
    """
    if continuation is None or not continuation.on_expiry:
        return Farewell.TELL
    match continuation.kind:
        case Kind.COMPLETE:
            return Farewell.START
        case Kind.INTERNAL:
            return Farewell.INVOKE
        case Kind.SYSTEM:
            return Farewell.TELL
