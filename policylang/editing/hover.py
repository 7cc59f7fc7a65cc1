"""What an editor shows about the word under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath

from monitors.facts import UNITS, Fact, FactTable, FactType
from policylang import values
from policylang.checker import ADDRESS_KEYS, PORT_KEYS
from policylang.diagnostics import one_of
from policylang.editing.meanings import SUBJECT_MEANINGS, Meaning, meaning_of
from policylang.editing.scan import named_set_at, scrap_at
from policylang.editing.surroundings import Surroundings
from policylang.expected import STATEMENTS
from policylang.parser import Word, read_words

MAX_LISTED = 20
"""Most values of a set that are shown."""


@dataclass(frozen=True, slots=True)
class Hover:
    """What to show about a word.

    Attributes:
        markdown: The text.
        start: The offset of the word.
        end: The offset behind it.
    """

    markdown: str
    start: int
    end: int


def hover(text: str, offset: int, around: Surroundings) -> Hover | None:
    """Return what is known of the word at an offset, or ``None`` where there is nothing to say."""
    named = named_set_at(text, offset)
    if named is not None:
        return Hover(_set(named.name, around), named.first, named.end)
    scrap = scrap_at(text, offset)
    if scrap is None or scrap.comment:
        return None
    words, _ = read_words(text[: scrap.end])
    if not words or not words[-1].start <= offset:
        return None
    shown = _word(words[-1], words[:-1], around)
    return Hover(shown, words[-1].start, scrap.end) if shown else None


def _word(word: Word, before: Sequence[Word], around: Surroundings) -> str:
    match word.kind:
        case "FACT":
            return fact_markdown(around.facts(), word.text)
        case "VALUE" | "RANGE" | "STRING":
            key = next((w.text for w in reversed(before) if w.kind in ("KEY", "FACT", "DEFINE")), "")
            return _value(key, word.text.strip('"'), around)
        case "PATTERN":
            return _pattern(before[-1].text, word.text, around)
    meaning = meaning_of(word.text) if word.kind.replace("_", "-").lower() == word.text else None
    if word.kind == "KEY":
        meaning = meaning_of(word.text)
    elif word.text in ("never", "avoid", "always", "after", "eager", "lazy"):
        meaning = meaning_of(next((w.text for w in reversed(before) if w.text in STATEMENTS), ""))
    return _meaning(meaning) if meaning else ""


def _meaning(meaning: Meaning) -> str:
    return f"```migrate-policy\n{meaning.form}\n```\n{meaning.text}"


def fact_markdown(table: FactTable, name: str) -> str:
    """Return what is known of a fact: type, unit, subject, monitor, and whether it is measured here."""
    fact = table.known.get(name)
    if fact is None:
        return ""
    measured = (
        "" if name in table.measured else "\n\nNo installed monitor measures it: a condition never holds."
    )
    return (
        f"**{fact.name}**: {fact.summary}\n\n"
        f"{_type(fact)}, judged on {SUBJECT_MEANINGS[fact.subject.value]}, "
        f"measured by the monitor `{fact.monitor}`{measured}"
    )


def _type(fact: Fact) -> str:
    if fact.type is FactType.FLAG:
        return "`yes` or `no`"
    if fact.type is FactType.TEXT:
        return one_of(f"`{choice}`" for choice in fact.choices) if fact.choices else "text"
    units = UNITS[fact.unit]
    return f"a number in {one_of(f'`{unit}`' for unit in units)}" if units else "a number"


def _value(key: str, text: str, around: Surroundings) -> str:
    try:
        if key in ADDRESS_KEYS:
            return prefix_markdown(text)
        if key in PORT_KEYS:
            return _ports(text, around)
    except values.BadValueError:
        pass  # the diagnostics say what is wrong with it
    return ""


def _ports(text: str, around: Surroundings) -> str:
    low, high = values.port_range(text, around.service_port)
    if low == high:
        return f"`{text}` is port {low}"
    return f"ports {low} to {high}: {high - low + 1} of them"


def prefix_markdown(text: str) -> str:
    """Return which addresses a prefix stands for.

    Raises:
        BadValueError: It is no prefix.
    """
    network = values.network(text)
    if network.num_addresses == 1:
        return f"the address {network.network_address}"
    size = (
        network.num_addresses
        if network.prefixlen >= network.max_prefixlen - 32
        else f"2^{network.max_prefixlen - network.prefixlen}"
    )
    shown = f"the network `{network}`: {network[0]} to {network[-1]}, {size} addresses"
    if text.partition("/")[0] != str(network.network_address):
        shown += f"\n\n`{text}` has bits beyond its prefix; they do not count"
    return shown


def _pattern(statement: str, text: str, around: Surroundings) -> str:
    if statement != "score-interface":
        return ""
    present = around.interfaces()
    matching = [name for name in present if fnmatchcase(name, text)]
    if not matching:
        return f"`{text}` matches none of this host's links now"
    return f"`{text}` matches {', '.join(f'`{name}`' for name in matching)} on this host"


def _set(name: str, around: Surroundings) -> str:
    file, definition = around.definitions().get(name, ("", None))
    if definition is None:
        return f"the set `${name}` is not defined"
    shown = ", ".join(f"`{value}`" for value in definition.values[:MAX_LISTED])
    more = len(definition.values) - MAX_LISTED
    rest = f" and {more} more" if more > 0 else ""
    line = around.texts[file].count("\n", 0, definition.start) + 1
    return f"the set `${name}`: {shown}{rest}\n\ndefined at {PurePath(file).name}:{line}"
