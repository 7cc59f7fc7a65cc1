"""What may be written at a place in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from monitors.facts import UNITS, Fact, FactType
from policylang.checker import PORT_KEYS, PROTOCOLS, ROLES
from policylang.editing.hover import fact_markdown
from policylang.editing.meanings import meaning_of
from policylang.editing.scan import scrap_at
from policylang.editing.surroundings import Surroundings
from policylang.expected import KEYS, MODIFIERS, RESERVED
from policylang.measures import FLAGS
from policylang.parser import Word, read_words
from policylang.values import SECONDS_PER_UNIT

_OPERATORS = ("<", "<=", "=", "!=", ">=", ">")
_WORD = re.compile(r'[^\s{};,#"=<>]*$')
_NUMBER = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)[A-Za-z%]*")
_MAX_DETAILED = 8  # values of a set that are shown beside its name
_WANT_SETS = frozenset({"NAME", "KEY", "SCORE_INTERFACE", "SCORE_SERVER"})
_DURATION_BEFORE = frozenset({"SETTLE", "DELAY", "AFTER", "FOR"})


class Kind(Enum):
    """What a completion is."""

    STATEMENT = "statement"
    KEY = "key"
    WORD = "word"
    FACT = "fact"
    OPERATOR = "operator"
    UNIT = "unit"
    VALUE = "value"
    SERVICE = "service"
    INTERFACE = "interface"
    SET = "set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Something that may be written at a place.

    Attributes:
        text: What to write.
        kind: What it is.
        detail: A few words about it; may be empty.
        markdown: All about it; may be empty.
        start: The offset from which the text is replaced, up to the place asked about.
    """

    text: str
    kind: Kind
    detail: str = ""
    markdown: str = ""
    start: int


_Offer = tuple[str, Kind, str, str]


def complete(text: str, offset: int, around: Surroundings) -> tuple[Completion, ...]:
    """Return what may be written at an offset, in place of the word that has been begun there.

    Nothing is offered within comments and quotes. What is returned is not filtered by what has been written
    of the word: editors do that, each in its manner.
    """
    begun = scrap_at(text[:offset], offset)
    if begun is not None and (begun.comment or (begun.quoted and not begun.text.endswith('"', 1))):
        return ()
    match = _WORD.search(text, 0, offset)
    start = match.start() if match else offset
    words, accepted = read_words(text[:start])
    offers = _offers(words, accepted, text[start:offset], around)
    return tuple(
        Completion(text=word, kind=kind, detail=detail, markdown=markdown, start=start)
        for word, kind, detail, markdown in offers
    )


def _offers(
    words: Sequence[Word], accepted: frozenset[str], begun: str, around: Surroundings
) -> Iterator[_Offer]:
    for terminal in sorted(accepted):
        maker = _MAKERS.get(terminal)
        if maker is not None:
            yield from maker(words, begun, around)
        else:
            yield from _literal(terminal)


def _literal(terminal: str) -> Iterator[_Offer]:
    word = terminal.lower().replace("_", "-")
    if word in RESERVED or word in MODIFIERS:
        kind = Kind.STATEMENT if word in RESERVED else Kind.WORD
        meaning = meaning_of(word)
        yield word, kind, meaning.form if meaning else "", meaning.text if meaning else ""


def _keys(*_: object) -> Iterator[_Offer]:
    for key in sorted(KEYS):
        meaning = meaning_of(key)
        assert meaning is not None
        yield key, Kind.KEY, meaning.form, meaning.text


def _facts(_: Sequence[Word], __: str, around: Surroundings) -> Iterator[_Offer]:
    table = around.facts()
    for name, fact in sorted(table.known.items()):
        measured = "" if name in table.measured else " (not measured here)"
        yield name, Kind.FACT, fact.summary + measured, fact_markdown(table, name)


def _operators(words: Sequence[Word], _: str, around: Surroundings) -> Iterator[_Offer]:
    fact = around.facts().known.get(words[-1].text)
    ordered = fact is None or fact.type is FactType.NUMBER
    for operator in _OPERATORS if ordered else ("=", "!="):
        yield operator, Kind.OPERATOR, "", ""


def _values(words: Sequence[Word], begun: str, around: Surroundings) -> Iterator[_Offer]:
    if words and words[-1].kind == "OPERATOR":
        yield from _measures(around.facts().known.get(words[-2].text), begun)
        return
    key = next((word.text for word in reversed(words) if word.kind in ("KEY", "DEFINE")), "")
    if key in PORT_KEYS:
        for name in around.services:
            port = around.service_port(name)
            yield name, Kind.SERVICE, f"port {port}", ""
    for value in sorted({"proto": PROTOCOLS, "role": ROLES}.get(key, ())):
        yield value, Kind.VALUE, "", ""


def _measures(fact: Fact | None, begun: str) -> Iterator[_Offer]:
    """Offer the values that a fact can have; for a number that has been begun, the units."""
    if fact is None:
        return
    if fact.type is FactType.NUMBER:
        yield from _with_units(begun, UNITS[fact.unit])
        return
    for choice in fact.choices if fact.type is FactType.TEXT else FLAGS:
        yield choice, Kind.VALUE, "", ""


def _durations(words: Sequence[Word], begun: str, _: Surroundings) -> Iterator[_Offer]:
    if words and words[-1].kind in _DURATION_BEFORE:
        yield from _with_units(begun, SECONDS_PER_UNIT)


def _with_units(begun: str, units: Iterable[str]) -> Iterator[_Offer]:
    number = _NUMBER.fullmatch(begun)
    if number is not None:
        yield from ((number[1] + unit, Kind.UNIT, "", "") for unit in units)


def _patterns(words: Sequence[Word], _: str, around: Surroundings) -> Iterator[_Offer]:
    yield "*", Kind.VALUE, "all of them", ""
    if words[-1].kind == "SCORE_INTERFACE":
        for name in around.interfaces():
            yield name, Kind.INTERFACE, "present on this host", ""


def _sets(words: Sequence[Word], _: str, around: Surroundings) -> Iterator[_Offer]:
    wanting = next(word for word in reversed(words) if word.kind in _WANT_SETS)
    for name, (_file, definition) in sorted(around.definitions().items()):
        if wanting.kind != "NAME" or wanting.text != name:  # no set holds itself
            yield f"${name}", Kind.SET, ", ".join(definition.values[:_MAX_DETAILED]), ""


_MAKERS: dict[str, Callable[[Sequence[Word], str, Surroundings], Iterator[_Offer]]] = {
    "KEY": _keys,
    "FACT": _facts,
    "OPERATOR": _operators,
    "VALUE": _values,
    "QUANTITY": _durations,
    "PATTERN": _patterns,
    "REFERENCE": _sets,
}
"""What to offer for the terminals of the grammar that are no fixed words."""
