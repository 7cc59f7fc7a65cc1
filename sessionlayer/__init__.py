"""Sessions between two daemons: handshake, sealed datagrams and handoff, all without I/O."""

from sessionlayer.association import Association, Counters
from sessionlayer.commands import (
    AdoptionRefused,
    CheckAdoption,
    Command,
    FinishMove,
    FreezeHeld,
    MoveRefused,
    PathFailed,
    PathValidated,
    PeerHeard,
    PeerSilent,
    RebindForPeer,
    ReleaseHeld,
    SendDatagram,
    SessionAdopted,
    SessionReleased,
)
from sessionlayer.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from sessionlayer.handshake import Established, Handshake
from sessionlayer.keys import HostKey, fingerprint
from sessionlayer.limits import HANDSHAKE_BURST, HANDSHAKE_RATE_PER_S, TokenBucket
from sessionlayer.messages import Hello, pack_address
from sessionlayer.sealed import receiver_index
from sessionlayer.session import SessionRecord
from sessionlayer.transitions import AssociationState, IllegalTransitionError, SessionState
from sessionlayer.trust import Direction, Judgement, TrustMode, TrustPolicy, judge
from sessionlayer.values import (
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
