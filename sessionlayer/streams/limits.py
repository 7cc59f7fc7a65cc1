"""Every bound of the virtual streams, with its unit, its reason and what happens beyond it."""

from __future__ import annotations

STREAMS_VERSION = 1
"""Part of the handshake's prologue and of every opening: another version fails before anything."""

PURPOSE_MAX = 255
"""Bytes in a connection's purpose; more are refused before anything is sent."""

BODY_MAX = 1024
"""Bytes of the sealed part of an opening or of its answer; an honest one has at most ~700."""

STATEMENT_MAX = 24_576
"""Bytes of one sealed control message; a longer one ends the control transport. The longest has all that is
exported (16 KiB) and some bytes around each value."""

ANSWERS_MAX = 4096
"""Answers that wait on a control transport, more than one reading can ask for; a peer that asks on without
reading them loses the transport."""

REASON_MAX = 200
"""Characters of a reason that travels to the peer; ours are cut, longer ones are malformed."""

OFFSET_MAX = 2**63 - 1
"""Highest offset in a stream; at 100 Gbit/s a connection reaches it after 23 years."""

CONNECTION_MAX = 2**32 - 1
"""Highest number of a connection in a session; opening one more is refused locally."""

RECORD_MAX = 16_384
"""Bytes of plaintext in one record of a sealed connection (RFC 8446, section 5.1 has the same)."""

SMALL_WRITE_MAX = 16_384
"""Bytes up to which a write is joined with its neighbours of the same loop turn; larger ones are kept as
they are."""

RING_MIN = 256 * 1024
"""Bytes that a connection may always have unacknowledged."""

ACK_BYTES = 128 * 1024
"""Bytes after which what was received is acknowledged at once: half of the smallest ring."""

ACK_DELAY_S = 0.025
"""Seconds after which fewer bytes are acknowledged (RFC 9000, section 13.2.1, has the same default)."""

END_GRACE_S = 0.2
"""Seconds that a transport that was shut down by the peer waits for the statement that the stream has ended;
without it the transport is dead, as whatever is between the two may have closed it."""

ENDED_LOOK_S = 1.0
"""Seconds between two looks whether a transport whose peer has ended its stream, and that is not read any
more therefore, was reset; what was sent over it and not acknowledged waits so long at most."""

OPENING_TIMEOUT_S = 5.0
"""Seconds in which a new transport must have proved itself to the server; then it is closed unanswered."""

CONNECT_TIMEOUT_S = 3.0
"""Seconds after which an attempt to connect, or to get an answer, is given up for the next one."""

RETRY_FIRST_S = 0.02
"""Seconds between the first failed attempt to connect and the second; doubles up to ``RETRY_MAX_S``."""

RETRY_MAX_S = 1.0
"""Seconds between attempts at most, for ever: a network that comes back is noticed within this time."""

SUSPEND_S = 1.0
"""Seconds without a control transport after which the session counts as suspended: less is a hiccup."""

PENDING_MAX = 256
"""Transports that have not proved themselves at one server; for a further one the oldest is closed, as an
honest one needs a round trip and a hostile one stays as long as it may."""

SOURCES_MAX = 4096
"""Source addresses whose handshakes are counted; beyond it those that have been quiet are forgotten."""


DRAIN_MAX = 8 * 1024 * 1024
"""Bytes that are taken from a transport that was taken over, more than a kernel's receive buffer; what
else is in it is sent again."""
