"""The algebra of what `on` says: sets of connections, exactly, with an example of each.

A `Space` knows all conditions that will be spoken of and cuts every key into the cells that
they can tell apart. A `Region` is a union of boxes, a box a set of cells for each key. What
nobody knows (`user`, `app`, `remote-host`) is a value of its own, which satisfies no
condition, negated or not. A host may have several names, any of which satisfies `remote-host`.

Source: ``docs/semantics.md``, "Which statements apply".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import and_, or_
from typing import NamedTuple

from policylang.ast import Condition, On, Statement, walk
from policylang.cells import Cells, Values, address_cells, name_cells, port_cells, word_cells
from policylang.checker import PROTOCOLS, ROLES
from policylang.globs import ANY_NAME, Alphabet, TooComplexError

__all__ = ["Example", "Region", "Space", "TooComplexError", "conditions_in"]

_LIKELY = {
    "user": ("ann", "bob", "root"),
    "app": ("/usr/bin/ssh", "/usr/bin/curl", "ssh"),
    "session": ("s1", "s2"),
    "remote-host": ("www.example.org", "host.example.net"),
}
_HOSTS = "remote-host"
_SIDES = {"port": ("port", "any-port"), "l-port": ("l-port", "any-port")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One connection, in the words of an author; ``None`` and the empty tuple are what nobody knows."""

    proto: str
    role: str
    remote_ip: str
    local_ip: str
    port: int
    l_port: int
    user: str | None
    app: str | None
    session: str
    remote_hosts: tuple[str, ...]


class _Hosts(NamedTuple):
    """Sets of a host's names: none of ``avoided``, one or more of each of ``hit``. No name is unknown."""

    hit: frozenset[int] = frozenset()
    avoided: int = 0

    @property
    def possible(self) -> bool:
        return all(mask & ~self.avoided for mask in self.hit)

    def meet(self, other: _Hosts) -> _Hosts:
        return _Hosts(self.hit | other.hit, self.avoided | other.avoided)

    def others(self) -> Iterator[_Hosts]:
        """Yield what is not in this set, in parts."""
        if self.avoided:
            yield _Hosts(frozenset({self.avoided}), 0)
        for mask in self.hit:
            yield _Hosts(frozenset(), mask)


class _Box(NamedTuple):
    """A set of cells for each key of `_KEYS`, and what names the remote host has."""

    masks: tuple[int, ...]
    hosts: _Hosts

    @property
    def possible(self) -> bool:
        return all(self.masks) and self.hosts.possible

    def meets(self, other: _Box) -> bool:
        """Return whether the two have something in common."""
        return all(map(and_, self.masks, other.masks)) and self.hosts.meet(other.hosts).possible

    def joined(self, other: _Box) -> _Box | None:
        """Return the box that two make which differ in one key only, ``None`` if they differ in more."""
        differing = [i for i, (a, b) in enumerate(zip(self.masks, other.masks, strict=True)) if a != b]
        if len(differing) > 1 or self.hosts != other.hosts:
            return None
        return _Box(tuple(map(or_, self.masks, other.masks)), self.hosts)

    def meet(self, other: _Box) -> _Box:
        masks = tuple(map(and_, self.masks, other.masks))
        return _Box(masks, self.hosts.meet(other.hosts))

    def without(self, other: _Box) -> Iterator[_Box]:
        """Yield the parts of this box that are not in the other."""
        met = list(self.masks)
        for i, mask in enumerate(other.masks):
            outside = met[i] & ~mask
            if outside:
                yield _Box((*met[:i], outside, *self.masks[i + 1 :]), self.hosts)
            met[i] &= mask
            if not met[i]:
                return
        for hosts in other.hosts.others():
            part = _Box(tuple(met), self.hosts.meet(hosts))
            if part.possible:
                yield part


@dataclass(frozen=True, slots=True)
class Region:
    """A set of connections: of a `Space`, with which alone it may be combined."""

    boxes: tuple[_Box, ...]

    def __bool__(self) -> bool:
        """Return whether there is such a connection."""
        return bool(self.boxes)

    def __and__(self, other: Region) -> Region:
        met = (a.meet(b) for a in self.boxes for b in other.boxes)
        return Region(tuple(dict.fromkeys(box for box in met if box.possible)))

    def __or__(self, other: Region) -> Region:
        boxes = list(self.boxes)
        for box in other.boxes:
            _join(boxes, box)
        return Region(tuple(boxes))

    def __sub__(self, other: Region) -> Region:
        left = self.boxes
        for box in other.boxes:
            left = tuple(part for old in left for part in (old.without(box) if old.meets(box) else (old,)))
        return Region(left)

    def __le__(self, other: Region) -> bool:
        """Return whether every connection of this region is in the other."""
        return self.outside(other) is None

    def outside(self, other: Region) -> Region | None:
        """Return some connections of this region that are not in the other, or ``None`` if there are none."""
        for box in self.boxes:
            part = _outside(box, other.boxes)
            if part is not None:
                return Region((part,))
        return None


def _join(boxes: list[_Box], box: _Box) -> None:
    """Add a box to others, as part of one of them where that can be: fewer boxes are sooner compared."""
    for i, other in enumerate(boxes):
        whole = other.joined(box)
        if whole is not None:
            boxes[i] = whole
            return
    boxes.append(box)


def _outside(box: _Box, others: Sequence[_Box]) -> _Box | None:
    """Return a part of a box that meets none of the others; looks only as far as it must."""
    for i, other in enumerate(others):
        if box.meets(other):
            parts = (_outside(part, others[i + 1 :]) for part in box.without(other))
            return next((part for part in parts if part is not None), None)
    return box


def _names(
    key: str,
    asked: Mapping[str, Sequence[Values]],
    *,
    alphabet: Alphabet = ANY_NAME,
    unknown: bool = False,
    fold: bool = False,
) -> Cells:
    return name_cells(asked.get(key, ()), _LIKELY[key], alphabet=alphabet, unknown=unknown, fold=fold)


class Space:
    """All connections there can be, as far as a set of conditions can tell them apart.

    Args of the constructor: ``conditions`` are all that will be asked about, of checked policies.

    Raises:
        TooComplexError: patterns in the conditions can't be compared within bounds.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        asked: dict[str, list[Values]] = {}
        for condition in conditions:
            asked.setdefault(condition.key, []).append(condition.values)
        remote, remote_four = address_cells(asked.get("remote-ip", ()))
        local, local_four = address_cells(asked.get("local-ip", ()))
        self._cells = {
            "proto": word_cells(sorted(PROTOCOLS), asked.get("proto", ())),
            "role": word_cells(sorted(ROLES), asked.get("role", ())),
            "remote-ip": remote,
            "local-ip": local,
            **{
                side: port_cells([v for key in keys for v in asked.get(key, ())])
                for side, keys in _SIDES.items()
            },
            "user": _names("user", asked, unknown=True),
            "app": _names("app", asked, unknown=True, alphabet=Alphabet(paths=True)),
            "session": _names("session", asked),
        }
        self._hosts = _names(_HOSTS, asked, fold=True)
        self._position = {key: i for i, key in enumerate(self._cells)}
        four = {"remote-ip": remote_four, "local-ip": local_four}
        six = {"remote-ip": remote.all & ~remote_four, "local-ip": local.all & ~local_four}
        # Both ends of a connection are of one family.
        self.everything = Region((self._box(**four), self._box(**six)))

    def where(self, conditions: Iterable[Condition]) -> Region:
        """Return the connections that satisfy all these conditions."""
        region = self.everything
        for condition in conditions:
            region &= self._where(condition)
        return region

    def by_session(self) -> tuple[Region, ...]:
        """Return the connections of sessions of one name, for every name that conditions tell apart."""
        count = len(self._cells["session"].witnesses)
        return tuple(self.everything & Region((self._box(session=1 << i),)) for i in range(count))

    def example(self, region: Region) -> Example:
        """Return a connection of a region that is not empty."""
        box = region.boxes[0]
        found = {key: cells.example(box.masks[i]) for i, (key, cells) in enumerate(self._cells.items())}
        return Example(
            proto=str(found["proto"]),
            role=str(found["role"]),
            remote_ip=str(found["remote-ip"]),
            local_ip=str(found["local-ip"]),
            port=int(found["port"] or 0),
            l_port=int(found["l-port"] or 0),
            user=found["user"],
            app=found["app"],
            session=str(found["session"]),
            remote_hosts=self._host_names(box.hosts),
        )

    def words(self, region: Region) -> tuple[str, ...]:
        """Return what is special about `example`'s connection, key by key, as an author would say it."""
        box, example = region.boxes[0], self.example(region)
        words: list[str] = []
        for i, key in enumerate(self._cells):
            if all(box.masks[i] != whole.masks[i] for whole in self.everything.boxes):
                value = getattr(example, key.replace("-", "_"))
                text = "unknown" if value is None else str(value)
                words.append(text if key == "proto" else f"{key} {text}")
        if box.hosts != _Hosts():
            words.append(f"{_HOSTS} {' and '.join(example.remote_hosts) or 'unknown'}")
        return tuple(words)

    def _host_names(self, hosts: _Hosts) -> tuple[str, ...]:
        """Return names that hit all that must be hit, as few as taking the narrowest first makes them."""
        chosen = 0
        for mask in sorted((mask & ~hosts.avoided for mask in hosts.hit), key=int.bit_count):
            if not mask & chosen:
                chosen |= mask & -mask
        return tuple(str(name) for i, name in enumerate(self._hosts.witnesses) if chosen >> i & 1)

    def _box(self, **masks: int) -> _Box:
        named = {key.replace("_", "-"): mask for key, mask in masks.items()}
        return _Box(tuple(named.get(key, cells.all) for key, cells in self._cells.items()), _Hosts())

    def _where(self, condition: Condition) -> Region:
        if condition.key == _HOSTS:
            return self._where_host(condition)
        if condition.key == "any-port":
            return self._where_any_port(condition)
        return Region(self._with(condition.key, self._mask(condition.key, condition)))

    def _mask(self, key: str, condition: Condition) -> int:
        cells = self._cells[key]
        mask = cells.mask(condition.values)
        return cells.known & ~mask if condition.negated else mask

    def _with(self, key: str, mask: int) -> tuple[_Box, ...]:
        box = self._box(**{key: mask})
        return (box,) if box.possible else ()

    def _where_any_port(self, condition: Condition) -> Region:
        remote, local = (Region(self._with(side, self._mask(side, condition))) for side in ("port", "l-port"))
        return remote & local if condition.negated else remote | local

    def _where_host(self, condition: Condition) -> Region:
        mask = self._hosts.mask(condition.values)
        known = frozenset({self._hosts.all})
        hosts = _Hosts(known, mask) if condition.negated else _Hosts(frozenset({mask}), 0)
        box = self._box()._replace(hosts=hosts)
        return Region((box,) if box.possible else ())


def conditions_in(statements: Iterable[Statement]) -> Iterator[Condition]:
    """Yield the conditions of every `on` in the statements of a checked policy."""
    for statement in walk(statements):
        if isinstance(statement, On):
            yield from statement.conditions
