"""What a monitor says of itself before it runs: its name and its facts."""

from __future__ import annotations

import re

from monitors.facts import Fact, FactType, is_redefined, is_well_made, own_name
from monitors.spec import NAME, Monitor

_FACT_NAME = re.compile(rf"({NAME.pattern}\.)?{NAME.pattern}")


class ConformanceError(AssertionError):
    """A monitor does not keep the contract; the message says how and what to do."""


def expect(condition: bool, otherwise: str) -> None:
    """Check a condition.

    Raises:
        ConformanceError: it does not hold; its message is ``otherwise``.
    """
    if not condition:
        raise ConformanceError(otherwise)


def check_declaration(monitor: object) -> None:
    """Check that an object is a monitor with a name and facts that can be used.

    Raises:
        ConformanceError: it isn't.
    """
    expect(isinstance(monitor, Monitor), "a monitor has `name`, `facts` and `run`")
    assert isinstance(monitor, Monitor)
    name: object = monitor.name
    good = isinstance(name, str) and NAME.fullmatch(name) is not None
    expect(good, f"`{name}` is no good name; use one like `my-monitor`")
    check_facts(monitor.facts)
    for fact in monitor.facts:
        wanted = own_name(fact, monitor.name)
        expect(fact.name == wanted, f"the fact `{fact.name}` is none of the language's: name it `{wanted}`")


def check_facts(facts: tuple[Fact, ...]) -> None:
    """Check that facts are declared so that a policy can name them.

    Raises:
        ConformanceError: a fact is malformed, or two have one name.
    """
    expect(isinstance(facts, tuple), "`facts` is a tuple of `Fact`")
    for fact in facts:
        expect(isinstance(fact, Fact), f"`{fact!r}` is no `Fact`")
        expect(is_well_made(fact), f"`{fact!r}` is not made as `monitors.facts.Fact` says")
        _check_fact(fact)
    names = [fact.name for fact in facts]
    expect(len(names) == len(set(names)), f"two facts have the same name: {', '.join(sorted(names))}")
    for fact in facts:
        expect(not is_redefined(fact), f"the fact `{fact.name}` of the language has other values")


def _check_fact(fact: Fact) -> None:
    good_name = _FACT_NAME.fullmatch(fact.name) is not None
    examples = "`round-trip-time` or `my-monitor.round-trip-time`"
    expect(good_name, f"the fact `{fact.name}` needs a name like {examples}")
    number = fact.type is FactType.NUMBER
    expect(number or not fact.unit, f"the fact `{fact.name}` is no number, so no unit")
    one_line = bool(fact.summary.strip()) and "\n" not in fact.summary
    expect(one_line, f"the summary of the fact `{fact.name}` is one line of text")
