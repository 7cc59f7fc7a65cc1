"""Answers to what people ask over the control socket."""

from __future__ import annotations

import base64
import os
import pwd
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import assert_never

import msgspec

from engine import Move as MoveDecision
from engine import Reason, SessionDescription
from migrated.continuations.reports import ContinuationReports
from migrated.control.continuations import Continuations, ExpireContinuation, ShowContinuation
from migrated.control.messages import (
    Answer,
    Done,
    EventReport,
    Explain,
    ExplanationReport,
    ForgetPeer,
    KeepAlive,
    LinkList,
    LinkReport,
    Links,
    Move,
    PeerReport,
    PolicyShow,
    Refused,
    Request,
    ServerList,
    ServerReport,
    Servers,
    SessionList,
    SessionReport,
    Sessions,
    Status,
    StatusReport,
    Watch,
)
from migrated.control.observations import Events, Facts, Monitors
from migrated.control.permission import Credentials, choose_session, may_access
from migrated.core import Core
from migrated.observing import Observations
from migrated.peers import Peer, Peers
from migrated.policies import PolicyInForce
from migrated.sessions import Condition, ManagedSession
from migrated.streams.addresses import AddressError, read_destination
from migrated.streams.ranking import described
from sessionlayer.protocol.keys import fingerprint


class Reports:
    """Answers requests; what changes anything goes the way that the engine's decisions go."""

    def __init__(
        self,
        core: Core,
        peers: Peers,
        policies: PolicyInForce,
        *,
        control_port: int,
        no_kernel: str,
        observations: Observations,
        continuations: ContinuationReports,
    ) -> None:
        self._core = core
        self._peers = peers
        self._policies = policies
        self._control_port = control_port
        self._no_kernel = no_kernel
        self._observations = observations
        self._continuations = continuations
        self._started = time.monotonic()

    def handle(self, request: Request, who: Credentials) -> Answer | AsyncIterator[EventReport]:
        """Answer one request."""
        match request:
            case Status():
                return self._status(who)
            case Sessions():
                return self._sessions(who)
            case Links():
                return self._links()
            case Move():
                return self._move(request, who)
            case KeepAlive():
                return self._keep_alive(request, who)
            case PolicyShow():
                return self._policies.report()
            case Watch():
                return self._core.journal.watchers.watch(lambda owner: may_access(who, owner))
            case ForgetPeer():
                return self._forget_peer(request, who)
            case Explain():
                return self._explain(request, who)
            case Facts() | Monitors() | Events():
                return self._observations.handle(request, who)
            case Servers():
                return self._servers(request, who)
            case Continuations() | ShowContinuation() | ExpireContinuation():
                return self._continuations.handle(request, who)
            case _:
                assert_never(request)

    def _status(self, who: Credentials) -> StatusReport:
        public = self._peers.host_key.public_bytes
        return StatusReport(
            version=version("migrate-sessions"),
            pid=os.getpid(),
            uptime_s=time.monotonic() - self._started,
            host_key=base64.b64encode(public).decode(),
            fingerprint=fingerprint(public),
            control_port=self._control_port,
            peers=tuple(_peer_report(peer) for peer in self._peers),
            monitors=self._observations.monitors(who).monitors,
            sessions=len(self._core.sessions),
            policy_generation=self._policies.generation,
            last_error=self._policies.last_error,
            no_kernel=self._no_kernel,
        )

    def _sessions(self, who: Credentials) -> SessionList:
        seen = [session for session in self._core.sessions if may_access(who, session.uid)]
        return SessionList(sessions=tuple(self._session(session) for session in seen))

    def _session(self, session: ManagedSession) -> SessionReport:
        connection = session.record().connection
        point = self._core.point_of(session.attachment[1])
        return SessionReport(
            id=session.name,
            peer=session.description.peer,
            program=session.program,
            pid=session.pid,
            user=_user(session.uid),
            link=point.name if point else session.attachment[0],
            local=_end(connection.local_address, connection.local_port),
            remote=_end(connection.remote_address, connection.remote_port),
            state=session.condition.value,
            since=session.since,
            moves=session.moves,
            last_reason="; ".join(session.because),
        )

    def _links(self) -> LinkList:
        return LinkList(
            links=tuple(
                LinkReport(
                    name=row.name,
                    interface=row.interface,
                    address=row.address,
                    usable=row.usable,
                    why=row.why_not,
                    score=row.score,
                    ruled_out=row.ruled_out,
                    statement="; ".join(str(reason) for reason in row.reasons),
                )
                for row in self._core.engine.links()
            )
        )

    def _explain(self, request: Explain, who: Credentials) -> ExplanationReport | Refused:
        chosen = self._chosen(request.session, who)
        if isinstance(chosen, Refused):
            return chosen
        explanation = self._core.engine.explain(chosen.name, self._core.now())
        return ExplanationReport(explanation=msgspec.Raw(msgspec.json.encode(explanation)))

    def _servers(self, request: Servers, who: Credentials) -> ServerList | Refused:
        subject = self._subject(request, who)
        if isinstance(subject, Refused):
            return subject
        rows = self._core.engine.servers(subject, request.candidates, request.current)
        return ServerList(servers=tuple(map(ServerReport.of, rows)))

    def _subject(self, request: Servers, who: Credentials) -> SessionDescription | str | Refused:
        if request.session:
            chosen = self._chosen(request.session, who)
            return chosen if isinstance(chosen, Refused) else chosen.name
        if not request.destinations:
            return Refused(reason="name a session, or destinations", code="bad-request")
        try:
            destinations = [read_destination(text) for text in request.destinations]
        except AddressError as error:
            return Refused(reason=str(error), code="bad-request")
        return described(destinations, _user(who.uid))

    def _move(self, request: Move, who: Credentials) -> Done | Refused:
        session = self._chosen(request.session, who)
        if isinstance(session, Refused):
            return session
        family = session.description.family
        points = [p for p in self._core.engine.points() if p.family == family]
        point = next((p for p in points if request.link in (p.name, p.address)), None)
        if point is None:
            usable = ", ".join(sorted({p.name for p in points})) or "none"
            reason = f"there is no usable link `{request.link}` for this session; usable are: {usable}"
            return Refused(reason=reason, code="unknown-link")
        if point.key == session.attachment and session.condition is Condition.LIVE:
            return Done(message=f"session {session.short} is on {point.name} already")
        by_hand = Reason(span=None, text=f"by hand, by {_user(who.uid)}")
        decision = MoveDecision(session=session.name, to=point, urgent=session.frozen, reasons=(by_hand,))
        self._core.carry_out([decision])
        return Done(message=f"session {session.short} begins to move to {point.name}")

    def _keep_alive(self, request: KeepAlive, who: Credentials) -> Done | Refused:
        session = self._chosen(request.session, who)
        if isinstance(session, Refused):
            return session
        self._core.programs.reported(session, healthy=request.healthy, reason=request.reason)
        return Done(message=f"session {session.short} is {'well' if request.healthy else 'unwell'}")

    def _forget_peer(self, request: ForgetPeer, who: Credentials) -> Done | Refused:
        if not who.privileged:
            reason = "only root and the daemon's own user may forget host keys"
            return Refused(reason=reason, code="permission")
        if self._core.store.known_key(request.address) is None:
            return Refused(reason=f"no host key is known for `{request.address}`", code="unknown-peer")
        self._core.store.forget_key(request.address)
        self._peers.forget_absence(request.address)
        return Done(message=f"the host key of {request.address} is forgotten")

    def _chosen(self, prefix: str, who: Credentials) -> ManagedSession | Refused:
        owners = {session.name: session.uid for session in self._core.sessions}
        chosen = choose_session(prefix, owners, who)
        if isinstance(chosen, Refused):
            return chosen
        session = self._core.sessions.of_name(chosen)
        assert session is not None
        return session


def _peer_report(peer: Peer) -> PeerReport:
    counters = peer.association.counters
    return PeerReport(
        name=peer.name,
        address=peer.association.path.remote_address,
        fingerprint=peer.fingerprint,
        state=peer.association.state.value,
        silent=peer.silent,
        dropped=counters.dropped,
        malformed=counters.malformed,
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _end(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
