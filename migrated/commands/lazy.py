"""Groups of commands whose modules are imported only when a command is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click


class Subcommand(NamedTuple):
    """Where a command is (``module:attribute``), what the group's help says about it, and whether it does."""

    target: str
    help: str
    hidden: bool = False


class LazyGroup(click.Group):
    """A click group that knows its commands by name and imports them one by one.

    ``migrate policy check`` must not pay for what the other commands import.
    """

    def __init__(self, *args: Any, subcommands: Mapping[str, Subcommand], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands that people type, in alphabetical order."""
        shown = {name for name, command in self._subcommands.items() if not command.hidden}
        return sorted({*super().list_commands(ctx), *shown})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module, or ``None`` where there is none of this name."""
        known = super().get_command(ctx, cmd_name)
        if known is not None or cmd_name not in self._subcommands:
            return known
        module, _, attribute = self._subcommands[cmd_name].target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name, with a guess where there is none.

        Raises:
            click.UsageError: There is no command of that name.
        """
        name = args[0]
        if name in {*self.list_commands(ctx), *self._subcommands} or name.startswith("-"):
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        close = get_close_matches(name, self.list_commands(ctx), n=1)
        guess = f"; did you mean `{close[0]}`?" if close else ""
        raise click.UsageError(f"there is no command `{name}`{guess}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from what the group knows, without importing any."""
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return the names that begin with ``incomplete``, without importing any command."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        items = [click.shell_completion.CompletionItem(name, help=self._summary(ctx, name)) for name in names]
        # Past the group's own completion, which imports every command, to that of its options.
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in self._subcommands:
            return self._subcommands[name].help
        command = super().get_command(ctx, name)
        return command.get_short_help_str() if command else ""
