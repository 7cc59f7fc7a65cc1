"""Carry out what associations ask for: each command is the work of one part of the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import assert_never

from migrated.adopt import Adopter
from migrated.applications.service import Applications
from migrated.core import Core
from migrated.datagrams import DatagramPort
from migrated.handoffs import Handoffs
from migrated.mover import Mover
from migrated.peers import Peer
from migrated.surroundings import DaemonSurroundings
from sessionlayer.protocol.commands import (
    AdoptionRefused,
    AttributesImported,
    CheckAdoption,
    Command,
    FinishMove,
    FreezeHeld,
    MoveRefused,
    PathFailed,
    PathValidated,
    PeerHeard,
    PeerSilent,
    ProbeAnswered,
    RebindForPeer,
    ReleaseHeld,
    SendDatagram,
    SessionAdopted,
    SessionReleased,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    """Hands every command to the part of the daemon that can carry it out."""

    core: Core
    datagrams: DatagramPort
    adopter: Adopter
    handoffs: Handoffs
    mover: Mover
    applications: Applications
    surroundings: DaemonSurroundings

    def perform(self, peer: Peer, commands: Sequence[Command]) -> None:
        """Carry out what an association asks for, in order."""
        for _, alike in groupby(commands, key=type):
            of_a_kind = list(alike)
            if not self.handoffs.on_held(peer, of_a_kind):
                for command in of_a_kind:
                    self._perform_one(peer, command)

    def _perform_one(self, peer: Peer, command: Command) -> None:
        match command:
            case SendDatagram():
                self.datagrams.send(command.data, command.path)
            case CheckAdoption():
                self.adopter.on_check(peer, command)
            case SessionAdopted():
                self.adopter.on_adopted(peer, command)
            case AdoptionRefused():
                self.adopter.on_refused(peer, command)
            case RebindForPeer():
                self.handoffs.on_rebind_for_peer(peer, command)
            case FinishMove():
                self.handoffs.on_finish(peer, command)
            case MoveRefused():
                self.handoffs.on_refused(peer, command)
            case FreezeHeld() | ReleaseHeld():
                pass  # all at once, in `perform`
            case PathValidated():
                self.mover.on_path_validated(peer, command)
            case PathFailed():
                self.mover.on_path_failed(peer, command)
            case ProbeAnswered():
                self.surroundings.on_answered(peer, command)
            case SessionReleased():
                self._on_released(peer, command)
            case AttributesImported():
                self._on_imported(peer, command)
            case PeerSilent():
                self._on_silence(peer, silent=True)
            case PeerHeard():
                self._on_silence(peer, silent=False)
            case _:
                assert_never(command)

    def _on_released(self, peer: Peer, command: SessionReleased) -> None:
        session = self.core.sessions.of_id(command.session_id)
        if session is not None and session.peer is peer:
            self.core.end(session, "the peer says that its connection has ended", tell_peer=False)

    def _on_imported(self, peer: Peer, command: AttributesImported) -> None:
        session = self.core.sessions.of_id(command.session_id)
        if session is not None and session.peer is peer:
            self.applications.imported(session)

    def _on_silence(self, peer: Peer, *, silent: bool) -> None:
        peer.silent = silent
        self.core.journal.tell("peer-silent" if silent else "peer-heard", peer=peer.name)
        if silent:
            self.adopter.on_silent(peer)
