"""Why a program does not get what it asks for."""

from __future__ import annotations

from migrated.control.permission import Credentials, may_access
from migrated.core import Core
from migrated.sessions import ManagedSession


class RefusedError(Exception):
    """Say why a request is refused: ``reason`` for people, ``code`` for programs (`Denied`)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def own_session(core: Core, who: Credentials, session_id: bytes) -> ManagedSession:
    """Return a session that a program may do something with.

    Raises:
        RefusedError: there is no such session, or it belongs to another user.
    """
    session = core.sessions.of_id(session_id)
    if session is None:
        reason = f"there is no session `{session_id.hex()}`; it has ended, or was never one"
        raise RefusedError("unknown-session", reason)
    check_owner(who, session.uid)
    return session


def check_owner(who: Credentials, owner: int) -> None:
    """Refuse what is asked of another user's session.

    Raises:
        RefusedError: it is another user's, and ``who`` is not root.
    """
    if not may_access(who, owner):
        raise RefusedError("permission", "the connection belongs to another user")


def refuse_connection(why: str, inode: int) -> None:
    """Refuse to adopt a connection, whichever socket of this ``inode`` it is.

    Raises:
        RefusedError: always.
    """
    raise RefusedError("no-kernel", f"this daemon moves no connections ({why})")
