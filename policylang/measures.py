"""Facts in a policy: whether a threshold compares what can be compared, and in which unit.

Source: "Types for facts" in ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from monitors.facts import UNITS, Fact, FactTable, FactType, FactValue
from policylang.ast import Measure, Name, Quantity, Span, Threshold
from policylang.diagnostics import Report, closest, one_of, question, quote
from policylang.values import BadValueError

FactSource = Callable[[], FactTable]
"""Return the facts that a policy may speak of; asked only for a policy that speaks of facts."""

FLAGS = {"yes": True, "no": False, "true": True, "false": False}
"""The words for the two values of a flag."""

_EQUALITY = frozenset({"=", "!="})


def resolve_threshold(
    threshold: Threshold, table: FactTable, report: Report, *, begun_by: Threshold | None = None
) -> Threshold | None:
    """Return a threshold with its measure resolved, or ``None`` after a mistake, which goes to ``report``.

    A fact that no installed monitor measures is a warning: its condition never holds. Behind `until`,
    ``begun_by`` is the threshold that begins the same `when`: one warning about a fact of both suffices.
    """
    fact = table.known.get(threshold.fact)
    told = begun_by is not None and begun_by.fact == threshold.fact
    if fact is None:
        _unknown(threshold, table, report, told=told)
        return None
    if fact.name not in table.measured and not told:
        message = f"no installed monitor measures `{fact.name}`: this condition never holds"
        hint = f"it needs the monitor `{fact.monitor}`"
        report.warning(threshold.span, "unmeasured-fact", message, hint)
    try:
        measure = _measure(threshold, fact)
    except BadValueError as problem:
        span = threshold.value.span
        report.error(span, problem.code, problem.message, problem.hint, problem.replacement)
        return None
    return replace(threshold, value=measure, subject=fact.subject)


def _unknown(threshold: Threshold, table: FactTable, report: Report, *, told: bool) -> None:
    """Report a fact that nobody knows; one with a plugin's name in front may be that plugin's."""
    name = threshold.fact
    guess = closest(name, table.known)
    plugin, dot, _ = name.partition(".")
    families = {known.partition(".")[0] for known in table.known if "." in known}
    # What another plugin calls its own facts says nothing: `modem.signal` is not `wifi.signal` misspelt.
    if dot and plugin not in families and not closest(plugin, families):
        message = f"no installed monitor measures {quote(name)}: this condition never holds"
        hint = f"is the plugin {quote(plugin)} missing?"
        if not told:
            report.warning(threshold.span, "unmeasured-fact", message, hint)
        return
    hint = question(guess) or "`migrate facts` lists the facts"
    report.error(_fact_span(threshold), "unknown-fact", f"there is no fact {quote(name)}", hint, guess)


def _fact_span(threshold: Threshold) -> Span:
    """Return where the fact's name stands: a threshold begins with it."""
    span = threshold.span
    return replace(span, end_line=span.line, end_column=span.column + len(threshold.fact))


def _measure(threshold: Threshold, fact: Fact) -> Measure:
    """Read the value that a fact is compared with.

    Raises:
        BadValueError: It is of another type or unit, or can't be compared in this way.
    """
    if fact.type is not FactType.NUMBER and threshold.operator not in _EQUALITY:
        raise BadValueError(
            "wrong-comparison",
            f"`{fact.name}` is a {fact.type.value}: it can't be compared by `{threshold.operator}`",
            "use `=` or `!=`",
        )
    written = threshold.value
    assert not isinstance(written, Measure)
    value = _READERS[fact.type](written, fact)
    text = written.text if isinstance(written, Name) else f"{written.value:g}{written.unit}"
    return Measure(value=value, text=text, span=written.span)


def _number(written: Quantity | Name, fact: Fact) -> FactValue:
    units = UNITS[fact.unit]
    if isinstance(written, Name):
        example = next(iter(units), "")
        raise BadValueError(
            "wrong-type",
            f"`{fact.name}` is a number, not {quote(written.text)}",
            f"compare it with a number, such as `10{example}`",
        )
    if not units and written.unit:
        raise BadValueError(
            "wrong-unit", f"`{fact.name}` has no unit, but {quote(written.unit)} is written", "leave it out"
        )
    if not units:
        return written.value
    choices = one_of(f"`{unit}`" for unit in units)
    if not written.unit:
        raise BadValueError("wrong-unit", f"`{fact.name}` needs a unit", f"add {choices}")
    if written.unit.lower() not in units:
        message = f"{quote(written.unit)} is not a unit of `{fact.name}`"
        raise BadValueError("wrong-unit", message, f"use {choices}")
    return written.value * units[written.unit.lower()]


def _flag(written: Quantity | Name, fact: Fact) -> FactValue:
    if isinstance(written, Quantity) or written.text not in FLAGS:
        raise BadValueError("wrong-type", f"`{fact.name}` is either `yes` or `no`", "write one of them")
    return FLAGS[written.text]


def _text(written: Quantity | Name, fact: Fact) -> FactValue:
    if isinstance(written, Quantity):
        raise BadValueError("wrong-type", f"`{fact.name}` is text, not a number", "write it in quotes")
    if fact.choices and written.text not in fact.choices:
        choices = one_of(f"`{choice}`" for choice in fact.choices)
        guess = closest(written.text, fact.choices)
        hint = question(guess) or f"it is one of {choices}"
        message = f"`{fact.name}` is never {quote(written.text)}"
        raise BadValueError("unknown-value", message, hint, guess)
    return written.text


_READERS: dict[FactType, Callable[[Quantity | Name, Fact], FactValue]] = {
    FactType.NUMBER: _number,
    FactType.FLAG: _flag,
    FactType.TEXT: _text,
}
