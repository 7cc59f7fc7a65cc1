"""`migrate facts`: what the `when` of a policy may speak of on this host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from migrated.commands.client import age, ask, echo_json, echo_table, json_option, socket_option
from migrated.commands.measurements import subject_text, value_text
from migrated.commands.wording import counted
from migrated.control.observations import MAX_FACTS_TOLD, FactList, FactReport, Facts

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
@click.option("--values", is_flag=True, help="Ask the daemon for what is measured now, of whatever it is.")
@socket_option
@json_option
def facts(names: tuple[str, ...], socket: Path | None, *, values: bool, as_json: bool) -> None:
    """List the facts that a policy's `when` may speak of, or only those named.

    A fact is measured by a monitor. One whose monitor is not installed on this host is never known, which
    makes every condition on it false. The daemon is asked for `--values` alone: those of the host, of its
    links, of the paths through them, and of your sessions; root sees all sessions. The exit status is 0, 1 if
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
    answer = ask(socket, Facts(names=names), FactList) if values else None
    if as_json:
        echo_json([_as_json(fact, table, answer) for fact in chosen])
    elif answer is not None and not answer.facts:
        click.echo("no values")
    elif answer is not None:
        echo_table(("FACT", "OF", "VALUE", "AGE"), map(_value_row, answer.facts))
    else:
        columns = ("FACT", "TYPE", "UNIT", "ABOUT", "MEASURED", "MONITOR", "MEANING")
        echo_table(columns, [_row(fact, table) for fact in chosen])
    if answer is not None and answer.omitted:
        click.echo(omission(answer.omitted), err=True)


def omission(count: int) -> str:
    """Return the note that values about sessions found no place in the daemon's answer."""
    left_out = counted(count, "value")
    return f"{left_out} of sessions left out: one answer has {MAX_FACTS_TOLD}; name facts to see those alone"


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


def _value_row(row: FactReport) -> tuple[str, ...]:
    measured = "" if row.measured_at is None else age(row.measured_at)
    return (row.fact, subject_text(row), value_text(row.value, row.unit), measured)


def _as_json(fact: Fact, table: FactTable, answer: FactList | None) -> dict[str, object]:
    told: dict[str, object] = {
        "name": fact.name,
        "type": fact.type.value,
        "unit": fact.unit,
        "subject": fact.subject.value,
        "measured": fact.name in table.measured,
        "monitor": fact.monitor,
        "choices": fact.choices,
        "summary": fact.summary,
    }
    if answer is None:
        return told
    return {**told, "values": [_value_as_json(row) for row in answer.facts if row.fact == fact.name]}


def _value_as_json(row: FactReport) -> dict[str, object]:
    return {key: value for key, value in asdict(row).items() if key not in ("fact", "unit")}
