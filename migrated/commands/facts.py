"""`migrate facts`: what the `when` of a policy may speak of on this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrated.commands.client import ask, echo_json, echo_table, json_option, socket_option
from migrated.control.messages import FactList, FactReport, Facts

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
@click.option("--values", is_flag=True, help="Ask the daemon for what is measured of the host and its links.")
@socket_option
@json_option
def facts(names: tuple[str, ...], socket: Path | None, *, values: bool, as_json: bool) -> None:
    """List the facts that a policy's `when` may speak of, or only those named.

    A fact is measured by a monitor. One whose monitor is not installed on this host is never known, which
    makes every condition on it false. The daemon is asked for `--values` alone. The exit status is 0, 1 if
    the daemon refuses, 2 for a name that no fact has or if the daemon can't be reached.

    \b
    Examples:
      migrate facts
      migrate facts rtt loss
      migrate facts --values
      migrate facts --json | jq -r '.[] | select(.measured).name'
    """  # noqa: D301
    from migrated.facts import known_facts

    table = known_facts()
    chosen = [table.known[name] for name in sorted(_checked(names, table) or table.known)]
    known = ask(socket, Facts(), FactList).facts if values else ()
    if as_json:
        echo_json([_as_json(fact, table, known if values else None) for fact in chosen])
    elif values:
        rows = [
            _value_row(table.known[row.fact], row) for row in known if table.known.get(row.fact) in chosen
        ]
        echo_table(("FACT", "OF", "VALUE"), rows)
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


def _value_row(fact: Fact, row: FactReport) -> tuple[str, ...]:
    value = row.value
    if isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = value if isinstance(value, str) else f"{value:g} {fact.unit}".rstrip()
    return (row.fact, row.interface or "host", text)


def _as_json(fact: Fact, table: FactTable, values: Sequence[FactReport] | None) -> dict[str, object]:
    of_this = [row for row in values or () if row.fact == fact.name]
    known = {"values": [{"interface": row.interface, "value": row.value} for row in of_this]}
    return {
        "name": fact.name,
        "type": fact.type.value,
        "unit": fact.unit,
        "subject": fact.subject.value,
        "measured": fact.name in table.measured,
        "monitor": fact.monitor,
        "choices": fact.choices,
        "summary": fact.summary,
        **(known if values is not None else {}),
    }
