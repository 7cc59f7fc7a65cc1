"""`migrate facts`: what the `when` of a policy may speak of on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrated.commands.client import echo_json, echo_table, json_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from monitors.facts import Fact, FactTable


def complete_fact(_ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the facts whose name begins so, as the shell's completion wants them."""
    from click.shell_completion import CompletionItem

    from migrated.facts import known_facts

    known = sorted(known_facts().known.items())
    return [CompletionItem(name, help=fact.summary) for name, fact in known if name.startswith(incomplete)]


@click.command()
@click.argument("names", nargs=-1, metavar="[FACT]...", shell_complete=complete_fact)
@json_option
def facts(names: tuple[str, ...], *, as_json: bool) -> None:
    """List the facts that a policy's `when` may speak of, or only those named.

    A fact is measured by a monitor. One whose monitor is not installed on this host is never known, which
    makes every condition on it false. No daemon is asked. The exit status is 0, or 2 for a name that no fact
    has.

    \b
    Examples:
      migrate facts
      migrate facts rtt loss
      migrate facts --json | jq -r '.[] | select(.measured).name'
    """  # noqa: D301
    from migrated.facts import known_facts

    table = known_facts()
    chosen = [table.known[name] for name in sorted(_checked(names, table) or table.known)]
    if as_json:
        echo_json([_as_json(fact, table) for fact in chosen])
    else:
        columns = ("FACT", "TYPE", "UNIT", "ABOUT", "MEASURED", "MONITOR", "MEANING")
        echo_table(columns, [_row(fact, table) for fact in chosen])


def _checked(names: tuple[str, ...], table: FactTable) -> set[str]:
    from policylang.diagnostics import did_you_mean, quote

    for name in names:
        if name not in table.known:
            hint = did_you_mean(name, table.known) or "`migrate facts` lists those that there are"
            raise click.BadParameter(f"there is no fact {quote(name)}; {hint}", param_hint="'FACT'")
    return set(names)


def _row(fact: Fact, table: FactTable) -> tuple[str, ...]:
    measured = "yes" if fact.name in table.measured else "no"
    meaning = f"{fact.summary}: {', '.join(fact.choices)}" if fact.choices else fact.summary
    return (fact.name, fact.type.value, fact.unit, fact.subject.value, measured, fact.monitor, meaning)


def _as_json(fact: Fact, table: FactTable) -> dict[str, object]:
    return {
        "name": fact.name,
        "type": fact.type.value,
        "unit": fact.unit,
        "subject": fact.subject.value,
        "measured": fact.name in table.measured,
        "monitor": fact.monitor,
        "choices": fact.choices,
        "summary": fact.summary,
    }
