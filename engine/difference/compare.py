"""Two policies compared: all that they decide differently, each with an example.

The comparison is exact: where it finds nothing, the two policies decide everything alike, and
what it finds a session can meet. The one exception is said in `engine.difference.feasible`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial

from msgspec.structs import replace

from engine.difference.answers import Answer, Aspect
from engine.difference.aspects import aspects
from engine.difference.cases import MAX_CASES, Case, Kinds, assignment_of, cases
from engine.difference.causes import each_cause_first
from engine.difference.feasible import Trigger, measured_for
from engine.difference.found import Circumstance, Decided, Difference
from engine.difference.reading import Reading
from engine.wording import condition
from policylang.ast import (
    Policy,
    ScoreInterface,
    ScoreServer,
    Statement,
    When,
    globs_of,
    walk,
)
from policylang.globs import Alphabet, names_of
from policylang.regions import Region, Space, conditions_in

_LIKELY_LINKS = ("eth0", "wlan0", "ppp0", "wwan0", "usb0", "enp3s0")
_LIKELY_SERVERS = ("a.example.org", "b.example.org", "192.0.2.80")
_LINK_NAMES = Alphabet(forbidden=" /\t\n\r\x0b\x0c")


def compare(old: Policy, new: Policy, *, limit: int = MAX_CASES) -> tuple[Difference, ...]:
    """Return all that two checked policies decide differently, what the same statements decide as one.

    Each thing that only one of the policies says comes once before any comes again.

    Args:
        old: One policy, as `policylang.load_policy` makes it.
        new: The other.
        limit: How many kinds of sessions may be looked at.

    Raises:
        TooComplexError: the policies have more kinds of sessions, or patterns beyond all bounds.
    """
    comparison = _Comparison(old, new, limit)
    grouped: dict[object, Difference] = {}
    for difference in comparison.differences():
        key = (difference.topic, frozenset(difference.old.spans), frozenset(difference.new.spans))
        known = grouped.get(key)
        if known is None:
            grouped[key] = difference
        else:
            simpler = min(known, difference, key=_size)
            grouped[key] = replace(simpler, count=known.count + 1)
    return each_cause_first(tuple(grouped.values()), old, new)


def _size(difference: Difference) -> tuple[int, int]:
    """Return how hard an example is to read."""
    words = sum(len(connection) + 1 for connection in difference.session)
    return (len(difference.circumstances), words)


class _Comparison:
    def __init__(self, old: Policy, new: Policy, limit: int) -> None:
        statements = old.statements + new.statements
        self._space = Space(conditions_in(statements))
        self._kinds = Kinds(self._space, limit)
        regions: dict[Region, Region] = {}
        self._readings = (Reading(old, self._space, regions), Reading(new, self._space, regions))
        patterns = _patterns(statements, ScoreInterface)
        names = names_of(patterns, _LIKELY_LINKS, _LINK_NAMES).values()
        self._links = {name: _twin(name, patterns) for name in names}
        self._servers = tuple(names_of(_patterns(statements, ScoreServer), _LIKELY_SERVERS).values())
        self._texts = dict(_trigger_texts(statements))

    def differences(self) -> Iterator[Difference]:
        for aspect in aspects(self._links, self._servers):
            old, new = (aspect.bears(reading) for reading in self._readings)
            if old != new:
                yield from self._by(aspect)

    def _by(self, aspect: Aspect) -> Iterator[Difference]:
        """Yield what policies decide differently that are not alike in what bears on one question."""
        for leaf in cases(self._kinds, partial(aspect.find, *self._readings), live=aspect.topic != "adopt"):
            if leaf.found is not None and leaf.found[0].value != leaf.found[1].value:
                yield self._difference(aspect, leaf.case, *leaf.found)

    def _difference(self, aspect: Aspect, case: Case, old: Answer, new: Answer) -> Difference:
        places = self._fewest(case)
        return Difference(
            topic=aspect.topic,
            session=tuple(self._space.words(place) for place in places),
            connections=tuple(self._space.example(place) for place in places),
            candidates=tuple(candidate.about for candidate in aspect.candidates),
            in_use=next((candidate.about for candidate in aspect.candidates if candidate.current), ""),
            circumstances=tuple(self._circumstances(case)),
            old=Decided(text=old.text, spans=old.spans),
            new=Decided(text=new.text, spans=new.spans),
        )

    def _fewest(self, case: Case) -> tuple[Region, ...]:
        """Return connections with which a session is of this case; one is in several regions if it can be."""
        wanted: list[Region] = []
        for region in case.wanted:
            for i, other in enumerate(wanted):
                joined = [*wanted[:i], other & region, *wanted[i + 1 :]]
                if joined[i] and self._kinds.place(Case(tuple(joined), case.avoided)) is not None:
                    wanted = joined
                    break
            else:
                wanted.append(region)
        places = self._kinds.place(Case(tuple(wanted), case.avoided))
        assert places is not None, "a case that was reached can be"
        return places

    def _circumstances(self, case: Case) -> Iterator[Circumstance]:
        for about, trigger, on in sorted(case.triggers, key=lambda item: (item[0], self._texts[item[1]])):
            measured = measured_for(assignment_of(case, about)) or {}
            fact = trigger.start.fact
            yield Circumstance(
                about=about, text=self._texts[trigger], holds=on, fact=fact, value=measured.get(fact)
            )


def _twin(name: str, patterns: Sequence[str]) -> str:
    """Return another name that the same patterns match, or this one if none is easily found."""
    likely = (*_LIKELY_LINKS, *(f"{stem}{digit}" for stem in (name[:-1], name) for digit in "123"))
    alike = [p for p in patterns if fnmatchcase(name, p)]
    return next(
        (
            other
            for other in likely
            if other != name and [p for p in patterns if fnmatchcase(other, p)] == alike
        ),
        name,
    )


def _patterns(statements: Iterable[Statement], kind: type[ScoreInterface | ScoreServer]) -> Sequence[str]:
    globs = [
        glob.text
        for statement in walk(statements)
        if isinstance(statement, kind)
        for glob in globs_of(statement.pattern)
    ]
    return sorted(set(globs))


def _trigger_texts(statements: Iterable[Statement]) -> Iterator[tuple[Trigger, str]]:
    for statement in walk(statements):
        if isinstance(statement, When):
            yield Trigger.of(statement), condition(statement)
