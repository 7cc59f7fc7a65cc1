"""Who may see and move which session.

The user that the daemon runs as, and root, may do everything. Others see and move the
sessions of their own programs. What is no one's (links, policy, status) is shown to all.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from migrated.control.messages import Refused

OVERFLOW_UID: Final = 65534
"""What the kernel calls every user that a user namespace does not map (user_namespaces(7))."""

_UCRED: Final = struct.Struct("=iII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who is at the other end of the control socket, as the kernel says."""

    pid: int
    uid: int
    gid: int

    @property
    def privileged(self) -> bool:
        """Return whether this is root or the daemon's own user."""
        return self.uid in (0, os.geteuid())


def peer_credentials(sock: socket.socket) -> Credentials:
    """Return who connected to, or listens at, the other end of a Unix socket.

    Source: unix(7), SO_PEERCRED.
    """
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Credentials(pid=pid, uid=uid, gid=gid)


def may_access(who: Credentials, owner: int) -> bool:
    """Return whether ``who`` may see and move a session of the user ``owner``: the one rule.

    Two users that are both unmapped look the same and need not be.
    """
    return who.privileged or (who.uid == owner and owner != OVERFLOW_UID)


def choose_session(prefix: str, owners: Mapping[str, int], who: Credentials) -> str | Refused:
    """Return the id of the session that ``prefix`` means, or why there is none for ``who``.

    Args:
        prefix: the beginning of an id; a whole id always means itself.
        owners: the user of every session, by id.
        who: who asks. Sessions of others do not make a prefix of one's own ambiguous.
    """
    matching = [prefix] if prefix in owners else [id_ for id_ in owners if prefix and id_.startswith(prefix)]
    own = [id_ for id_ in matching if may_access(who, owners[id_])]
    if len(own) == 1:
        return own[0]
    if own:
        reason = (
            f"`{prefix}` means {len(own)} sessions, the first two {own[0]} and {own[1]}; give more of the id"
        )
        return Refused(reason=reason, code="ambiguous")
    if matching:
        return Refused(reason=f"session `{prefix}` belongs to another user", code="permission")
    reason = f"there is no session `{prefix}`; `migrate sessions` lists them"
    return Refused(reason=reason, code="unknown-session")
