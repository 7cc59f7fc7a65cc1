"""Everything that a person types: the `migrate` command."""

from __future__ import annotations

import click

from migrated.commands.lazy import LazyGroup, Subcommand

__all__ = ["main"]

_SUBCOMMANDS = {
    "completion": Subcommand(
        "migrated.commands.completion:completion", "Print the completion script of a shell."
    ),
    "connect": Subcommand(
        "migrated.commands.connect:connect", "Connect stdin and stdout to a place, through a gateway."
    ),
    "continuations": Subcommand(
        "migrated.commands.continuations:continuations", "List and give up what programs go on from."
    ),
    "demo": Subcommand(
        "migrated.commands.demo:demo", "Watch a connection live through cuts, moves and an outage."
    ),
    "events": Subcommand("migrated.commands.events:events", "Print and follow what the monitors report."),
    "facts": Subcommand("migrated.commands.facts:facts", "List the facts that a policy may speak of."),
    "forget-peer": Subcommand(
        "migrated.commands.forget_peer:forget_peer", "Forget a host key that was trusted on first use."
    ),
    "health": Subcommand("migrated.commands.health:health", "Say in a program's place how a session is."),
    "kill": Subcommand("migrated.commands.kill:kill", "End a terminal that outlived its client."),
    "forward": Subcommand(
        "migrated.commands.forward:forward", "Listen here and carry connections through a gateway."
    ),
    "gateway": Subcommand(
        "migrated.commands.gateway:gateway", "Let clients reach places over connections that last."
    ),
    "links": Subcommand("migrated.commands.links:links", "List the links, their scores and why."),
    "monitors": Subcommand(
        "migrated.commands.monitors:monitors", "List the monitors; follow what they measure."
    ),
    "move": Subcommand("migrated.commands.move:move", "Move a session to a link by hand."),
    "policy": Subcommand(
        "migrated.commands.policy:policy", "Check, format, test, compare and explain policies."
    ),
    "sessions": Subcommand("migrated.commands.sessions:sessions", "List the sessions and the terminals."),
    "ssh": Subcommand("migrated.commands.ssh:ssh", "Open a shell on another host that outlives its client."),
    "status": Subcommand("migrated.commands.status:status", "Say how the daemon is."),
    "terminal": Subcommand("migrated.commands.terminal:terminal", "Serve `migrate ssh`.", hidden=True),
    "watch": Subcommand("migrated.commands.watch:watch", "Follow what happens."),
}


@click.group(cls=LazyGroup, subcommands=_SUBCOMMANDS)
@click.version_option(package_name="migrate-sessions", prog_name="migrate")
def cli() -> None:
    """Keep network sessions alive when links come and go.

    A policy file says which link each session should use; the daemon `migrated` acts on it.

    \b
    Examples:
      migrate policy check /etc/migrate/policy.d/*.policy
      migrate sessions
      eval "$(migrate completion bash)"
    """  # noqa: D301


def main() -> None:
    """Run the `migrate` command and end the process with its exit status.

    Raises:
        SystemExit: Always; 0 done, 1 a negative answer, 2 wrong usage or could not run.
    """
    cli(prog_name="migrate")
