"""Answers to what people ask about continuations over the control socket."""

from __future__ import annotations

import pwd
from collections.abc import Callable

from migrated.continuations.store import ContinuationStore, Entry, StoredContinuation
from migrated.control.continuations import (
    AttributeReport,
    ContinuationList,
    ContinuationReport,
    Continuations,
    ContinuationSummary,
    ExpireContinuation,
    ShowContinuation,
)
from migrated.control.messages import Done, Refused
from migrated.control.permission import OVERFLOW_UID, Credentials, choose_session, may_access
from migrated.database import StoreError
from sessionlayer.continuations.codec import decode
from sessionlayer.continuations.compatibility import check_compatibility
from sessionlayer.continuations.errors import ContinuationError
from sessionlayer.continuations.values import Continuation, Process

ALTERED = "altered"
"""The kind that is shown for a row that is not what this daemon stored; only root sees it."""

Expire = Callable[[bytes, str], None]
"""Give up the session with this id, for this reason, as if it had expired, and forget its continuation.

A session that is not suspended any more is left alone, and so is its continuation.
"""


class ContinuationReports:
    """Answers requests about what is in the store.

    Args:
        store: the continuations of this host.
        expire: gives up a session.
    """

    def __init__(self, store: ContinuationStore, expire: Expire) -> None:
        self._store = store
        self._expire = expire

    def handle(
        self, request: Continuations | ShowContinuation | ExpireContinuation, who: Credentials
    ) -> ContinuationList | ContinuationReport | Done | Refused:
        """Answer one request."""
        match request:
            case Continuations():
                return self._list(who)
            case ShowContinuation():
                return self._show(request, who)
            case ExpireContinuation():
                return self._expire_now(request, who)

    def _list(self, who: Credentials) -> ContinuationList:
        """Return the continuations that the asker may see, those that expire first in front."""
        seen = [
            _summary(id_, entry) for id_, entry in self._store.entries.items() if may_access(who, entry.uid)
        ]
        seen.sort(key=lambda one: (one.expires_at is None, one.expires_at, one.session))
        altered = sorted(self._store.altered) if who.privileged else ()
        return ContinuationList(continuations=(*seen, *map(_altered_summary, altered)))

    def _show(self, request: ShowContinuation, who: Credentials) -> ContinuationReport | Refused:
        """Return what is in a continuation; values of attributes and variables only where asked for."""
        chosen = self._chosen(request.session, who)
        if isinstance(chosen, Refused):
            return chosen
        try:
            stored = self._store.load(chosen)
            assert stored is not None
            return self._report(stored, decode(stored.content), values=request.values)
        except (StoreError, ContinuationError) as error:
            return Refused(reason=str(error), code="unreadable")

    def _expire_now(self, request: ExpireContinuation, who: Credentials) -> Done | Refused:
        """Give a session up before its time."""
        chosen = self._chosen(request.session, who)
        if isinstance(chosen, Refused):
            return chosen
        try:
            if chosen in self._store.altered:
                self._store.remove([chosen])
        except StoreError as error:
            return Refused(reason=str(error), code="store")
        self._expire(chosen, f"by hand, by {_user(who.uid)}")
        short = chosen.hex()[:8]
        if chosen in self._store.entries:
            reason = f"session {short} is about to go on, so it was left alone; try again if it does not"
            return Refused(reason=reason, code="busy")
        return Done(message=f"session {short} is given up")

    def _chosen(self, prefix: str, who: Credentials) -> bytes | Refused:
        owners = {id_.hex(): entry.uid for id_, entry in self._store.entries.items()}
        # What an altered row says of its owner is worth nothing, so it is nobody's.
        owners |= {id_.hex(): OVERFLOW_UID for id_ in self._store.altered}
        chosen = choose_session(prefix, owners, who)
        if not isinstance(chosen, Refused):
            return bytes.fromhex(chosen)
        if chosen.code != "unknown-session":
            return chosen
        reason = f"there is no continuation of a session `{prefix}`; `migrate continuations list` lists them"
        return Refused(reason=reason, code=chosen.code)

    def _report(
        self, stored: StoredContinuation, continuation: Continuation, *, values: bool
    ) -> ContinuationReport:
        process = continuation.process
        offered = self._store.vectors.offered(stored.uid, stored.program)
        differs = check_compatibility(continuation.compatibility, offered)
        return ContinuationReport(
            summary=_summary(stored.session_id, self._store.entries[stored.session_id]),
            function=continuation.function,
            command_line=process.argv if process is not None else (),
            directory=process.directory if process is not None else "",
            variables=_variables(process, values=values),
            descriptors=continuation.descriptors,
            attributes=_attributes(continuation, values=values),
            compatibility=tuple(f"{tag.id} {tag.name} {tag.value}" for tag in continuation.compatibility),
            differs=tuple(map(str, differs)),
            on_expiry=continuation.on_expiry,
        )


def _summary(session_id: bytes, entry: Entry) -> ContinuationSummary:
    return ContinuationSummary(
        session=session_id.hex(),
        program=entry.program,
        user=_user(entry.uid),
        kind=entry.kind.value,
        stored_at=entry.stored_at,
        expires_at=entry.expires_at,
        size=entry.size,
    )


def _altered_summary(session_id: bytes) -> ContinuationSummary:
    return ContinuationSummary(
        session=session_id.hex(), program="", user="", kind=ALTERED, stored_at=0.0, expires_at=None, size=0
    )


def _attributes(continuation: Continuation, *, values: bool) -> tuple[AttributeReport, ...]:
    return tuple(
        AttributeReport(
            name=name,
            size=len(value),
            exported=name in continuation.exported,
            value=value if values else None,
        )
        for name, value in sorted(continuation.attributes.items())
    )


def _variables(process: Process | None, *, values: bool) -> tuple[str, ...]:
    if process is None:
        return ()
    environment = sorted(process.environment.items())
    return tuple(f"{name}={value}" if values else name for name, value in environment)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
