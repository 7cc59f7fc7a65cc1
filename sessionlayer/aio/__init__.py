"""Virtual streams for asyncio: connections that outlive their transports, without privilege or daemon."""

from sessionlayer.aio.dialer import Dial, connect
from sessionlayer.aio.server import Admit, Connected, StreamServer, start_server
from sessionlayer.aio.session import Judge, StreamSession
from sessionlayer.aio.transport import StreamReader, StreamTransport
from sessionlayer.protocol.keys import HostKey, fingerprint
from sessionlayer.streams.errors import (
    StreamError,
    StreamExpiredError,
    StreamRefusedError,
    UntrustedPeerError,
)
from sessionlayer.streams.events import Closed, Resumed, StreamEvent, Suspended
from sessionlayer.streams.options import StreamOptions
from sessionlayer.streams.state import SessionState

__all__ = [
    "Admit",
    "Closed",
    "Connected",
    "Dial",
    "HostKey",
    "Judge",
    "Resumed",
    "SessionState",
    "StreamError",
    "StreamEvent",
    "StreamExpiredError",
    "StreamOptions",
    "StreamReader",
    "StreamRefusedError",
    "StreamServer",
    "StreamSession",
    "StreamTransport",
    "Suspended",
    "UntrustedPeerError",
    "connect",
    "fingerprint",
    "start_server",
]
