"""Policies compiled for look-up: which statements apply to a session, found by dictionary.

Static conditions are judged once per session. What they answer, the list of `on`s that
hold, names the session's equivalence class; all else is computed per class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from operator import itemgetter

from engine.classes import SessionClass
from engine.comparisons import TriggerTable
from engine.conditions import FIELDS, Test, Traits, compile_condition, traits_of
from engine.index import ConnectionIndex
from engine.scoring import Guard, Guarded, PlainStatement
from engine.session import SessionDescription
from policylang.ast import Condition, Define, Include, On, Policy, Statement, When
from policylang.collecting import collector_paused

MAX_CLASSES = 4096
"""Classes remembered; when there are more, all are forgotten and compiled anew as they are asked for."""

Held = dict[int, None]
"""The numbers of the `on`s that hold for a session, in the order in which they are found."""


@dataclass(frozen=True, slots=True)
class _CompiledOn:
    """An `on` with its number in the policy, its tests and the `on`s in its body.

    Those in its `else` body stand beside it: they ask the same connections. ``unless`` is the `on` in whose
    `else` it stands itself, and which must therefore not hold.
    """

    number: int
    tests: tuple[Test, ...]
    body: _Scope
    unless: _CompiledOn | None

    def holds(self, traits: Traits) -> bool:
        """Return whether one connection satisfies all the conditions."""
        for test in self.tests:  # noqa: SIM110 -- `all` over a generator takes twice the time
            if not test(traits):
                return False
        return True

    def reached(self, held: Held) -> bool:
        """Return whether it is read: none of those in whose `else` it stands holds."""
        outer = self.unless
        while outer is not None:
            if outer.number in held:
                return False
            outer = outer.unless
        return True


class _Scope:
    """The `on`s that ask the same connections, where they can be looked up."""

    def __init__(self) -> None:
        self._ons: list[_CompiledOn] = []
        self._index: ConnectionIndex | None = None  # most bodies hold no `on`

    @property
    def has_ons(self) -> bool:
        """Return whether there is anything to look up."""
        return self._index is not None

    def add(self, on: _CompiledOn, conditions: Sequence[Condition]) -> None:
        """Take in an `on`; the one in whose `else` it stands must be in already."""
        self._index = self._index or ConnectionIndex()
        self._index.add(len(self._ons), conditions)
        self._ons.append(on)

    def match(self, connections: tuple[Traits, ...], held: Held) -> None:
        """Add to ``held`` the numbers of the `on`s, in here and below, that hold.

        ``connections`` are those that satisfy every `on` further out; one of them must
        satisfy this one too.
        """
        if self._index is None:
            return
        for position in self._index.candidates(connections):
            on = self._ons[position]
            if on.unless is not None and not on.reached(held):
                continue
            matching = tuple([traits for traits in connections if on.holds(traits)])
            if matching:
                held[on.number] = None
                on.body.match(matching, held)


@dataclass(frozen=True, slots=True)
class _Branch:
    """An `on` where it stands: which body is read."""

    number: int
    body: _Body
    otherwise: _Body


@dataclass(frozen=True, slots=True)
class _Fork:
    """A `when` where it stands: both bodies may come to apply."""

    when: When
    trigger: int
    body: _Body
    otherwise: _Body


_Item = PlainStatement | _Branch | _Fork


class _Body:
    """The statements of a body, so that those of one class are found without a look at all others."""

    def __init__(self, items: Sequence[_Item]) -> None:
        self._items = items
        bare = {n: item for n, item in enumerate(items) if isinstance(item, _Branch) and not item.otherwise}
        self._always = [n for n in range(len(items)) if n not in bare]
        self._places = {branch.number: n for n, branch in bare.items()}

    def __bool__(self) -> bool:
        """Return whether there are any statements."""
        return bool(self._items)

    def read(self, held: Held) -> Iterator[_Item]:
        """Yield what is read where these `on`s hold, but for those that do not hold and have no `else`."""
        held_here = [self._places[number] for number in held if number in self._places]
        for place in sorted([*self._always, *held_here]) if held_here else self._always:
            yield self._items[place]


# Most bodies hold no `on` and most `on`s have no `else`: one of each of these is enough.
_NO_ONS = _Scope()
_EMPTY = _Body(())


class _Compiler:
    """Take a policy apart into what is matched, what is read and what is measured."""

    def __init__(self) -> None:
        self.root = _Scope()
        self.triggers = TriggerTable()
        self.keys: set[str] = set()
        self._numbers = count()

    def body(
        self, statements: Sequence[Statement], scope: _Scope, unless: _CompiledOn | None = None
    ) -> _Body:
        """Compile the statements of a body whose `on`s belong to ``scope``."""
        if not statements:
            return _EMPTY
        return _Body([self._item(statement, scope, unless) for statement in statements])

    def _item(self, statement: Statement, scope: _Scope, unless: _CompiledOn | None) -> _Item:
        match statement:
            case On():
                return self._on(statement, scope, unless)
            case When():
                # Every `on` is judged when the session is created, whether or not its `when` holds.
                body = self.body(statement.body, scope, unless)
                otherwise = self.body(statement.otherwise, scope, unless)
                return _Fork(statement, self.triggers.add(statement), body, otherwise)
            case Define() | Include():
                raise AssertionError("sets and files are put in their places by the checker")
            case _:
                return statement

    def _on(self, on: On, scope: _Scope, unless: _CompiledOn | None) -> _Branch:
        inner = _Scope()
        body = self.body(on.body, inner)
        tests = tuple([compile_condition(condition) for condition in on.conditions])
        compiled = _CompiledOn(next(self._numbers), tests, inner if inner.has_ons else _NO_ONS, unless)
        self.keys.update([condition.key for condition in on.conditions])
        scope.add(compiled, on.conditions)
        return _Branch(compiled.number, body, self.body(on.otherwise, scope, compiled))


class CompiledPolicy:
    """Hold a policy as the engine needs it, and the classes met so far.

    Making one takes the longer the larger the policy is. It may be made in another thread than that
    of the engine to which it is given; from then on it is that thread's.

    Args:
        policy: a checked policy: without `define`, `include` and references to sets.
    """

    def __init__(self, policy: Policy) -> None:
        compiler = _Compiler()
        with collector_paused():
            self._body = compiler.body(policy.statements, compiler.root)
        self._root = compiler.root
        self._keys = compiler.keys
        self._classes: dict[tuple[int, tuple[int, ...]], SessionClass] = {}
        self.triggers = compiler.triggers

    def classify(self, description: SessionDescription) -> SessionClass:
        """Return the class of a session: equal answers of all `on`s, equal family."""
        return self.class_of(description.family, traits_of_all(description))

    def class_of(self, family: int, traits: tuple[Traits, ...]) -> SessionClass:
        """Return the class of a session whose connections have these traits."""
        held: Held = {}
        self._root.match(traits, held)
        return self._class(family, held)

    def unconditional(self, family: int) -> SessionClass:
        """Return the class of a session that no `on` speaks of."""
        return self._class(family, {})

    def sorter(self) -> Callable[[int, tuple[Traits, ...]], SessionClass]:
        """Return what does as `class_of`, and asks once only about sessions that no `on` tells apart.

        It remembers all it has met: it is meant for one pass over many sessions.
        """
        known: dict[tuple[object, ...], SessionClass] = {}
        names = sorted({name for key in self._keys for name in FIELDS[key]})
        asked = itemgetter(*(Traits._fields.index(name) for name in names)) if names else _nothing

        def sort(family: int, traits: tuple[Traits, ...]) -> SessionClass:
            key = (family, asked(traits[0])) if len(traits) == 1 else (family, *map(asked, traits))
            found = known.get(key)
            if found is None:
                found = known[key] = self.class_of(family, traits)
            return found

        return sort

    def _class(self, family: int, held: Held) -> SessionClass:
        """Return the class of this signature, compiling it when it is first asked for."""
        key = (family, tuple(held))
        known = self._classes.get(key)
        if known is None:
            if len(self._classes) >= MAX_CLASSES:
                self._classes.clear()
            whens: list[tuple[When, int]] = []
            statements = tuple(_collect(self._body, held, (), whens))
            known = self._classes[key] = SessionClass(family, statements, whens, self.triggers)
        return known


def traits_of_all(description: SessionDescription) -> tuple[Traits, ...]:
    """Return the traits of all connections of a session."""
    return tuple(traits_of(connection, description.id) for connection in description.connections)


def _nothing(_traits: Traits) -> None:
    """Tell nothing about a connection: no `on` asks."""


def _collect(
    body: _Body, held: Held, guards: tuple[Guard, ...], whens: list[tuple[When, int]]
) -> Iterator[Guarded[PlainStatement]]:
    """Yield, in the order of the text, what may apply where these `on`s hold; gather the `when`s read."""
    for item in body.read(held):
        match item:
            case _Branch():
                yield from _collect(item.body if item.number in held else item.otherwise, held, guards, whens)
            case _Fork():
                whens.append((item.when, item.trigger))
                yield from _collect(item.body, held, (*guards, Guard(item.trigger, on=True)), whens)
                yield from _collect(item.otherwise, held, (*guards, Guard(item.trigger, on=False)), whens)
            case _:
                yield Guarded(item, guards)
