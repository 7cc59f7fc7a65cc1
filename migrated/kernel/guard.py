"""Keep the kernel silent about connections that have no socket at the moment.

A segment that meets no socket is answered with a reset, which would end the connection at its peer. So
segments of released connections are dropped: by one nftables table with a set of connections for each family.

Order matters. To release: `guard`, then give the socket up. To go on: remake the socket, then `unguard`.

The table stays when the daemon dies, because so do the connections. A daemon that starts calls `reconcile`
with those connections that it has on record: others may be left from a daemon that died between guarding and
recording, and are let in again. `remove_if_empty` leaves nothing behind at a daemon's end.

Source: nft(8); RFC 9293, section 3.10.7.1, "CLOSED STATE".
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from migrated.kernel.endpoint import EndPoint
from migrated.kernel.errors import RebindError
from migrated.kernel.nfset import ELEMENTS_MAX, Change, change_elements

TABLE: Final = "migrate"
"""The name of the table, of family ``inet``."""

_SETS: Final = {4: "released4", 6: "released6"}

# Where segments are delivered to this host, after any translation of addresses: as sockets see them.
_RULESET: Final = f"""
add table inet {TABLE}
add set inet {TABLE} {_SETS[4]} {{ type ipv4_addr . inet_service . ipv4_addr . inet_service; }}
add set inet {TABLE} {_SETS[6]} {{ type ipv6_addr . inet_service . ipv6_addr . inet_service; }}
add chain inet {TABLE} input {{ type filter hook input priority -300; policy accept; }}
flush chain inet {TABLE} input
add rule inet {TABLE} input ip daddr . tcp dport . ip saddr . tcp sport @{_SETS[4]} drop
add rule inet {TABLE} input ip6 daddr . tcp dport . ip6 saddr . tcp sport @{_SETS[6]} drop
"""


class GuardError(RebindError):
    """The kernel can't be kept silent: no connection may be released, or one could not be let in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The two ends of a connection."""

    local: EndPoint
    remote: EndPoint


def prepare_guard() -> None:
    """Put the table in place; what its sets hold stays.

    Raises:
        GuardError: ``nft`` is missing, the kernel is without nftables, or CAP_NET_ADMIN is.
    """
    _nft("-f", "-", text=_RULESET)


def guard(connections: Collection[Ends]) -> None:
    """Drop what comes in for these connections; for those that are guarded already, go on doing so.

    The table is put in place if it is not there.

    Raises:
        GuardError: it can't be done; then none of them was added.
    """
    try:
        _add(connections)
    except FileNotFoundError:
        prepare_guard()
        try:
            _add(connections)
        except OSError as error:
            raise GuardError(f"can't guard released connections: {error}") from error
    except OSError as error:
        raise GuardError(f"can't guard released connections: {error}") from error


def unguard(connections: Collection[Ends]) -> None:
    """Let the segments of these connections in again; for those that are not guarded, do nothing.

    Raises:
        GuardError: it can't be done.
    """
    try:
        for name, keys in _chunks(connections):
            _delete(name, keys)
    except OSError as error:
        raise GuardError(f"can't let segments in again: {error}") from error


def guarded() -> frozenset[Ends]:
    """Return the connections that are guarded now; none if the table is not there.

    Raises:
        GuardError: ``nft`` is missing, or the kernel refuses.
    """
    if not _table_is_there():
        return frozenset()
    listing = json.loads(_nft("--json", "--numeric", "list", "table", "inet", TABLE))
    sets = (entry["set"] for entry in listing["nftables"] if "set" in entry)
    return frozenset(_ends(element["concat"]) for found in sets for element in found.get("elem", ()))


def reconcile(released: Collection[Ends]) -> None:
    """Guard exactly these connections: what a starting daemon calls with those on record.

    Raises:
        GuardError: it can't be done.
    """
    prepare_guard()
    found = guarded()
    wanted = frozenset(released)
    guard(wanted - found)
    unguard(found - wanted)


def remove_if_empty() -> None:
    """Remove the table unless a connection needs it: a daemon that ends leaves nothing behind.

    Raises:
        GuardError: it can't be done.
    """
    if _table_is_there() and not guarded():
        _nft("delete", "table", "inet", TABLE)


def _add(connections: Collection[Ends]) -> None:
    done: list[tuple[str, Sequence[bytes]]] = []
    try:
        for name, keys in _chunks(connections):
            change_elements(Change.ADD, TABLE, name, keys)
            done.append((name, keys))
    except OSError:
        for name, keys in done:
            _delete(name, keys)
        raise


def _delete(name: str, keys: Sequence[bytes]) -> None:
    try:
        change_elements(Change.DELETE, TABLE, name, keys)
    except FileNotFoundError:
        # One that is missing stops the others; there are few such cases, so find it by halves.
        if len(keys) > 1:
            _delete(name, keys[: len(keys) // 2])
            _delete(name, keys[len(keys) // 2 :])


def _chunks(connections: Iterable[Ends]) -> Iterator[tuple[str, Sequence[bytes]]]:
    keys: dict[int, list[bytes]] = {4: [], 6: []}
    for ends in connections:
        version, key = _key(ends)
        keys[version].append(key)
    for version, found in keys.items():
        for start in range(0, len(found), ELEMENTS_MAX):
            yield _SETS[version], found[start : start + ELEMENTS_MAX]


def _key(ends: Ends) -> tuple[int, bytes]:
    address = ipaddress.ip_address(ends.local.address)
    return address.version, _field(ends.local) + _field(ends.remote)


def _field(end: EndPoint) -> bytes:
    return ipaddress.ip_address(end.address).packed + end.port.to_bytes(2, "big") + b"\0\0"


def _ends(fields: Sequence[Any]) -> Ends:
    local, local_port, remote, remote_port = fields
    return Ends(
        local=EndPoint(address=str(ipaddress.ip_address(local)), port=int(local_port)),
        remote=EndPoint(address=str(ipaddress.ip_address(remote)), port=int(remote_port)),
    )


def _table_is_there() -> bool:
    listing = json.loads(_nft("--json", "list", "tables"))
    tables = (entry["table"] for entry in listing["nftables"] if "table" in entry)
    return any((table["family"], table["name"]) == ("inet", TABLE) for table in tables)


def _nft(*arguments: str, text: str = "") -> str:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        raise GuardError(
            "connections can't be released because `nft` is missing; install nftables to let "
            "suspended sessions give their descriptors up"
        )
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())
        raise GuardError(f"connections can't be released because `nft` refuses: {reason}")
    return done.stdout
