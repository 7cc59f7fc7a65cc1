"""Numbers of the kernel's interface that the standard library does not name.

Source: ``tcp.h``, ``in.h``, ``in6.h``, ``asm-generic/socket.h`` and ``sockios.h`` in ``include/uapi/``.
"""

from __future__ import annotations

from typing import Final

TCP_USER_TIMEOUT: Final = 18
TCP_REPAIR: Final = 19
TCP_REPAIR_QUEUE: Final = 20
TCP_QUEUE_SEQ: Final = 21
TCP_REPAIR_OPTIONS: Final = 22
TCP_TIMESTAMP: Final = 24
TCP_REPAIR_WINDOW: Final = 29
TCP_ULP: Final = 31

REPAIR_ON: Final = 1
REPAIR_OFF_WITH_PROBE: Final = 0
REPAIR_OFF_SILENT: Final = -1

NO_QUEUE: Final = 0
RECEIVE_QUEUE: Final = 1
SEND_QUEUE: Final = 2

TCPOPT_MSS: Final = 2
TCPOPT_WINDOW: Final = 3
TCPOPT_SACK_PERMITTED: Final = 4
TCPOPT_TIMESTAMP: Final = 8

SIOCINQ: Final = 0x541B
SIOCOUTQ: Final = 0x5411
SIOCOUTQNSD: Final = 0x894B

SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
SO_ATTACH_FILTER: Final = 26
SO_DETACH_FILTER: Final = 27
SO_GET_FILTER: Final = SO_ATTACH_FILTER
SO_PEEK_OFF: Final = 42
SO_BUF_LOCK: Final = 72
SOCK_SNDBUF_LOCK: Final = 1
SOCK_RCVBUF_LOCK: Final = 2

IP_TRANSPARENT: Final = 19
IPV6_TRANSPARENT: Final = 75
IP_LOCAL_PORT_RANGE: Final = 51

IPPROTO_MPTCP: Final = 262
