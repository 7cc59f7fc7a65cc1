"""`migrate monitors`: what watches the world, and what it sees."""

from __future__ import annotations

import click

from migrated.commands.client import complete_monitor
from migrated.commands.lazy import LazyGroup, Subcommand

_SUBCOMMANDS = {
    "check": Subcommand("migrated.commands.monitors_check:check", "Check that a plugin keeps its contract."),
    "list": Subcommand("migrated.commands.monitors_list:list_monitors", "List the monitors and how they do."),
    "new": Subcommand("migrated.commands.monitors_new:new", "Write a project with a monitor of your own."),
    "watch": Subcommand(
        "migrated.commands.monitors_watch:watch", "Follow what is measured, as a live table."
    ),
}
_DEFAULT = "list"


class _ListingGroup(LazyGroup):
    """A group that takes what is no command for the arguments of `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front of arguments that name no command."""
        # While a shell completes the word behind the group, it may yet become a command.
        named = args and args[0] in {*self._subcommands, *ctx.help_option_names}
        if not named and not (ctx.resilient_parsing and not args):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Return the commands, and what `list` may have behind it, that begin with ``incomplete``."""
        default = self.get_command(ctx, _DEFAULT)
        assert default is not None
        listing = default.make_context(_DEFAULT, [], parent=ctx, resilient_parsing=True)
        found = [*super().shell_complete(ctx, incomplete), *default.shell_complete(listing, incomplete)]
        if not incomplete.startswith("-"):
            found += complete_monitor(listing, default.params[0], incomplete)
        return list({item.value: item for item in found}.values())  # `--help` is of both


@click.group(cls=_ListingGroup, subcommands=_SUBCOMMANDS)
def monitors() -> None:
    """List the monitors and follow what they measure.

    Without a command, the arguments are those of `list`.

    \b
    Examples:
      migrate monitors
      migrate monitors -v wifi
      migrate monitors watch rtt loss
      migrate monitors new weather
      migrate monitors check weather.py
    """  # noqa: D301
