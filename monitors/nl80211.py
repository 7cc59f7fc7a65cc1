"""What the kernel says of its wireless links: the network that each is in, and how well it hears it.

pyroute2 could ask the same (``AsyncIW``), but calls its own module experimental, takes 0.2 s to import, and
asks in the event loop's thread. The kernel calls the driver inside ``send``, and some drivers wait for their
firmware there; so this asks in a blocking manner, to be called in a thread of its own.

Source: ``include/uapi/linux/nl80211.h``.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitors import nlmsg
from monitors.genetlink import (
    Family,
    GenericNetlinkError,
    dump,
    message_of,
    messages,
    number,
    parse,
    text,
)

FAMILY: Final = "nl80211"
GROUPS: Final = ("config", "mlme")  # links that come and go; connections that are made and lost
SSID_MAX: Final = 32  # IEEE 802.11-2020, 9.4.2.2

_GET_INTERFACE: Final = 5
_GET_STATION: Final = 17
_NEWS: Final = frozenset({7, 8, 46, 47, 48})  # NEW_INTERFACE, DEL_INTERFACE, CONNECT, ROAM, DISCONNECT
_IFINDEX, _IFNAME, _IFTYPE, _STA_INFO, _SSID = 3, 4, 5, 21, 52  # NL80211_ATTR_…
_SIGNAL, _SIGNAL_AVG = 7, 13  # NL80211_STA_INFO_…
_CLIENTS: Final = frozenset({2, 8})  # NL80211_IFTYPE_STATION, NL80211_IFTYPE_P2P_CLIENT


@dataclass(frozen=True, slots=True, kw_only=True)
class WirelessLink:
    """A link that is, or can be, a client of a wireless network.

    ``ssid`` is the network's name, ``None`` while it is in none; ``signal_dbm`` how strong it hears the
    access point, averaged by the driver, ``None`` if that does not say.
    """

    interface: str
    ssid: str | None
    signal_dbm: int | None


def read_links(kernel: socket.socket, family: int) -> tuple[WirelessLink, ...]:
    """Return the wireless links of this network namespace. Blocks until the drivers have answered.

    Args:
        kernel: a generic netlink socket for requests.
        family: the number of the family ``nl80211``.

    Raises:
        GenericNetlinkError: an answer is none.
        OSError: the kernel refuses (`FileNotFoundError`: the family has gone), or does not answer in time.
    """
    found = []
    for message in dump(kernel, family, _GET_INTERFACE):
        attributes = message.attributes
        if _is_client(attributes):
            ssid = network_name(attributes[_SSID]) if _SSID in attributes else None
            index = number(attributes.get(_IFINDEX, b""), 4)
            signal_dbm = None if ssid is None else _signal(kernel, family, index)
            name = printable(text(attributes[_IFNAME]))
            found.append(WirelessLink(interface=name, ssid=ssid, signal_dbm=signal_dbm))
    return tuple(found)


def is_news(datagram: bytes, family: Family) -> bool:
    """Return whether a datagram tells of wireless links, or of networks, that come or go."""
    try:
        return any(
            kind == family.number and message_of(payload).command in _NEWS
            for kind, payload in messages(datagram)
        )
    except GenericNetlinkError:
        return True  # cut off or not: looking is harmless


def network_name(ssid: bytes) -> str:
    """Return a network's name as text. It is any bytes; those that can't be shown are escaped.

    Raises:
        GenericNetlinkError: it is longer than any name.
    """
    if len(ssid) > SSID_MAX:
        raise GenericNetlinkError(f"the name of a network has {len(ssid)} bytes")
    return printable(ssid)


def printable(raw: bytes) -> str:
    r"""Return bytes as text; what is no UTF-8, or can't be shown, as ``\x1b`` and the like."""
    decoded = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in decoded)


def _is_client(attributes: Mapping[int, bytes]) -> bool:
    """Return whether an interface is a link (some wireless devices have none) and a network's client."""
    return _IFNAME in attributes and number(attributes.get(_IFTYPE, b""), 4) in _CLIENTS


def _signal(kernel: socket.socket, family: int, index: int) -> int | None:
    """Return how well a client hears its access point, in dBm."""
    try:
        stations = dump(kernel, family, _GET_STATION, nlmsg.attribute(_IFINDEX, struct.pack("=I", index)))
    except OSError as error:
        # The link went in between, or its driver keeps no list of stations.
        if error.errno in (errno.ENODEV, errno.EOPNOTSUPP):
            return None
        raise
    for station in stations:
        info = parse(station.attributes.get(_STA_INFO, b""))
        raw = info.get(_SIGNAL_AVG, info.get(_SIGNAL))
        if raw is not None:
            return _signed(number(raw, 1))
    return None


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte
