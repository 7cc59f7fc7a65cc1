"""Policies compiled for look-up: which statements apply to a session, found by dictionary.

Static conditions are judged once per session. What they answer, the list of `on`s that
hold, names the session's equivalence class; all else is computed per class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.conditions import Test, Traits, UnsupportedStatementError, compile_condition, traits_of
from engine.index import ConnectionIndex
from engine.scoring import PlainStatement, SessionClass
from engine.session import SessionDescription
from policylang.ast import (
    Define,
    Include,
    On,
    Policy,
    ScoreInterface,
    ScoreServer,
    SetReference,
    Statement,
    When,
)

__all__ = ["RuleSet", "UnsupportedStatementError"]

MAX_CLASSES = 4096
"""Classes remembered; when there are more, all are forgotten and compiled anew as they are asked for."""


@dataclass(frozen=True, slots=True)
class _CompiledOn:
    """An `on` with its number in the policy, its tests and its two bodies."""

    number: int
    tests: tuple[Test, ...]
    body: _Block
    otherwise: _Block

    def holds(self, traits: Traits) -> bool:
        """Return whether one connection satisfies all the conditions."""
        return all(test(traits) for test in self.tests)


class _Block:
    """A body: its statements in order, and its `on`s where they can be looked up."""

    def __init__(self, statements: Sequence[Statement], numbers: Iterator[int]) -> None:
        self.items: list[PlainStatement | _CompiledOn] = []
        self._ons: list[_CompiledOn] = []
        self._index = ConnectionIndex()
        for statement in statements:
            if isinstance(statement, On):
                self._add_on(statement, numbers)
            else:
                self.items.append(_plain(statement))

    def _add_on(self, on: On, numbers: Iterator[int]) -> None:
        compiled = _CompiledOn(
            next(numbers),
            tuple(compile_condition(condition) for condition in on.conditions),
            _Block(on.body, numbers),
            _Block(on.otherwise, numbers),
        )
        self._index.add(len(self._ons), on.conditions, always=compiled.otherwise.has_ons)
        self._ons.append(compiled)
        self.items.append(compiled)

    @property
    def has_ons(self) -> bool:
        """Return whether a session must be matched against this block at all."""
        return bool(self._ons)

    def match(self, connections: tuple[Traits, ...], held: list[int]) -> None:
        """Append to ``held`` the numbers of the `on`s, in here and below, that hold.

        ``connections`` are those that satisfy every `on` further out; one of them must
        satisfy this one too. If none does, the `else` body is read with all of them.
        """
        if not self._ons:
            return
        for position in self._index.candidates(connections):
            on = self._ons[position]
            matching = tuple(traits for traits in connections if on.holds(traits))
            if matching:
                held.append(on.number)
                on.body.match(matching, held)
            else:
                on.otherwise.match(connections, held)

    def collect(self, held: frozenset[int]) -> Iterator[PlainStatement]:
        """Yield, in the order of the text, the statements that apply where these `on`s hold."""
        for item in self.items:
            if not isinstance(item, _CompiledOn):
                yield item
            elif item.number in held:
                yield from item.body.collect(held)
            else:
                yield from item.otherwise.collect(held)


class RuleSet:
    """Hold a compiled policy and the classes met so far.

    Raises:
        UnsupportedStatementError: the policy holds a statement that is not of this version.
    """

    def __init__(self, policy: Policy) -> None:
        self._root = _Block(policy.statements, iter(range(1 << 62)))
        self._classes: dict[tuple[int, tuple[int, ...]], SessionClass] = {}

    def classify(self, description: SessionDescription) -> SessionClass:
        """Return the class of a session: equal answers of all `on`s, equal family."""
        traits = tuple(traits_of(connection, description.id) for connection in description.connections)
        held: list[int] = []
        self._root.match(traits, held)
        return self._class(description.family, tuple(held))

    def unconditional(self, family: int) -> SessionClass:
        """Return the class of a session that no `on` speaks of."""
        return self._class(family, ())

    def _class(self, family: int, held: tuple[int, ...]) -> SessionClass:
        """Return the class of this signature, compiling it when it is first asked for."""
        key = (family, held)
        known = self._classes.get(key)
        if known is None:
            if len(self._classes) >= MAX_CLASSES:
                self._classes.clear()
            known = SessionClass(family, tuple(self._root.collect(frozenset(held))))
            self._classes[key] = known
        return known


def _plain(statement: Statement) -> PlainStatement:
    """Return a statement that holds no others, and refuse those of later versions."""
    match statement:
        case When():
            raise UnsupportedStatementError(statement.span, "`when`")
        case Define():
            raise UnsupportedStatementError(statement.span, "`define`")
        case Include():
            raise UnsupportedStatementError(statement.span, "`include`")
        case ScoreServer():
            raise UnsupportedStatementError(statement.span, "`score-server`")
        case ScoreInterface(pattern=SetReference(name=name)):
            raise UnsupportedStatementError(statement.span, f"the set `${name}`")
        case On():
            raise AssertionError("an `on` is compiled by its block")
        case _:
            return statement
