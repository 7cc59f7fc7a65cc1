"""Facts that people describe in words: `rtt wlan0` is `300ms`."""

from __future__ import annotations

from typing import Final

from migrated.authoring.described import DescriptionError, address, interface_of
from monitors.events import FactMeasured
from monitors.facts import Fact, FactTable, FactType, FactValue, Subject
from policylang.ast import Measure, Name, Quantity, Threshold
from policylang.diagnostics import Report, did_you_mean, quote, whole_file
from policylang.measures import resolve_threshold
from policylang.values import BadValueError, quantity

UNKNOWN: Final = "unknown"
"""The word for: this is known no longer."""

DERIVED: Final = frozenset({"addresses", "carrier", "operstate"})
"""Facts that follow from the links and can't be set."""

_FORMS: Final = {
    Subject.HOST: "",
    Subject.LINK: " LINK",
    Subject.PATH: " LINK [PEER]",
    Subject.SESSION: " SESSION",
    Subject.CONNECTION: " SESSION [CONNECTION]",
}
_PLACE: Final = whole_file("")


def fact_named(name: str, table: FactTable) -> Fact:
    """Return the fact of this name.

    Raises:
        DescriptionError: there is none, or it can't be set.
    """
    fact = table.known.get(name)
    if fact is None:
        hint = did_you_mean(name, table.known) or "`migrate facts` lists the facts of this host and plugins"
        raise DescriptionError(f"there is no fact {quote(name)}; {hint}")
    if name in DERIVED:
        raise DescriptionError(f"the fact `{name}` follows from the links; bring a link up or down instead")
    return fact


def measured(
    what: str, value: FactValue | None, table: FactTable, lifetime_s: float | None = None
) -> FactMeasured:
    """Return the measurement that ``what`` (a fact and what it is about) has this value.

    ``what`` is the fact's name alone for facts about the host, else `metered wlan0`, `rtt wlan0` or
    `rtt wlan0 18.31.0.9`, `keepalive-age SESSION`, `rto SESSION` or `rto SESSION CONNECTION`.

    Args:
        what: The fact and its subject. A path's peer that is left out stays empty.
        value: As in a policy: `300ms`, `yes`; or a number or truth value; or `unknown`.
        table: The facts there are.
        lifetime_s: After how many seconds it is known no longer.

    Raises:
        DescriptionError: there is no such fact, or it has no such subject, value or unit.
    """
    name, *rest = what.split()[:4] or [""]
    fact = fact_named(name, table)
    fewest = 0 if fact.subject is Subject.HOST else 1
    most = fewest + (fact.subject in (Subject.PATH, Subject.CONNECTION))
    if not fewest <= len(rest) <= most:
        form = f"`{name}{_FORMS[fact.subject]}`"
        raise DescriptionError(f"{quote(what)} is not of the form {form}: it is about {_about(fact)}")
    first, second = (*rest, "", "")[:2]
    of_link = fact.subject in (Subject.LINK, Subject.PATH)
    return FactMeasured(
        fact=name,
        value=None if value == UNKNOWN else _value(fact, value, table),
        interface=_interface(first) if of_link else "",
        peer=address(second) if second and fact.subject is Subject.PATH else "",
        session=first if fact.subject in (Subject.SESSION, Subject.CONNECTION) else "",
        connection=second if fact.subject is Subject.CONNECTION else "",
        lifetime_s=lifetime_s,
    )


def _about(fact: Fact) -> str:
    article = "the host" if fact.subject is Subject.HOST else f"a {fact.subject.value}"
    return "a link towards a peer" if fact.subject is Subject.PATH else article


def _interface(name: str) -> str:
    interface = interface_of(name)
    if interface != name:
        raise DescriptionError(f"facts are about a whole interface: write `{interface}` for {quote(name)}")
    return interface


def _value(fact: Fact, value: FactValue | None, table: FactTable) -> FactValue | None:
    """Return a value in the fact's own type and unit, by the rules of policies."""
    if value is None:
        return None
    report = Report(file="", text="")
    threshold = Threshold(fact=fact.name, operator="=", value=_word(fact, value), hold_s=0.0, span=_PLACE)
    resolved = resolve_threshold(threshold, table, report)
    if resolved is None:
        problem = report.diagnostics()[-1]
        raise DescriptionError(f"{problem.message}; {problem.hint}" if problem.hint else problem.message)
    assert isinstance(resolved.value, Measure)
    return resolved.value.value


def _word(fact: Fact, value: FactValue) -> Quantity | Name:
    """Return a value as it would stand in a policy."""
    if isinstance(value, bool):
        return Name(text="yes" if value else "no", span=_PLACE)
    if isinstance(value, float | int):
        return Quantity(value=float(value), unit="", span=_PLACE)
    if fact.type is FactType.NUMBER:
        try:
            number, unit = quantity(value)
        except BadValueError:
            return Name(text=value, span=_PLACE)
        return Quantity(value=number, unit=unit, span=_PLACE)
    return Name(text=value, span=_PLACE)
