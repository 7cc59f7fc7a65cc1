"""The protocol between two daemons: handshake, sealed datagrams and handoff, all without I/O."""

from sessionlayer.protocol.association import Association, Counters
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
from sessionlayer.protocol.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sessionlayer.protocol.handshake import Established, Handshake
from sessionlayer.protocol.keys import HostKey, fingerprint
from sessionlayer.protocol.limits import HANDSHAKE_BURST, HANDSHAKE_RATE_PER_S, TokenBucket
from sessionlayer.protocol.messages import Hello, pack_address
from sessionlayer.protocol.sealed import receiver_index
from sessionlayer.protocol.session import SessionRecord
from sessionlayer.protocol.transitions import AssociationState, IllegalTransitionError, SessionState
from sessionlayer.protocol.trust import Direction, Judgement, TrustMode, TrustPolicy, judge
from sessionlayer.protocol.values import (
    Arrival,
    Checked,
    Connection,
    Departure,
    Failed,
    Moved,
    Path,
    Proposal,
    Rebinding,
    Rebound,
    Role,
)

__all__ = [
    "HANDSHAKE_BURST",
    "HANDSHAKE_RATE_PER_S",
    "AdoptionRefused",
    "Arrival",
    "Association",
    "AssociationState",
    "AttributesImported",
    "CheckAdoption",
    "Checked",
    "Command",
    "Connection",
    "Counters",
    "Departure",
    "Direction",
    "Established",
    "Failed",
    "FinishMove",
    "FreezeHeld",
    "Handshake",
    "Hello",
    "HostKey",
    "IllegalTransitionError",
    "Judgement",
    "LocalProtocolError",
    "MoveRefused",
    "Moved",
    "Path",
    "PathFailed",
    "PathValidated",
    "PeerHeard",
    "PeerSilent",
    "ProbeAnswered",
    "Proposal",
    "ProtocolError",
    "RebindForPeer",
    "Rebinding",
    "Rebound",
    "ReleaseHeld",
    "RemoteProtocolError",
    "Role",
    "SendDatagram",
    "SessionAdopted",
    "SessionRecord",
    "SessionReleased",
    "SessionState",
    "TokenBucket",
    "TrustMode",
    "TrustPolicy",
    "fingerprint",
    "judge",
    "pack_address",
    "receiver_index",
]
