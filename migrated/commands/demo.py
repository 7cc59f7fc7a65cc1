"""`migrate demo`: an unmodified program keeps its connection while its links come and go."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=10, max=55),
    help="How long all scenes last together, if nothing is slow.  [default: 21.5]",
)
@click.option(
    "--rtt-ms",
    type=click.FloatRange(min=0, max=1000),
    default=0.0,
    show_default=True,
    help="How much longer each link makes a round trip.",
)
@click.option("--http", is_flag=True, help="Use an HTTP download even if OpenSSH is installed.")
@click.option(
    "--keep-logs",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the logs of both daemons to this folder.",
)
@click.pass_context
def demo(
    ctx: click.Context,
    as_json: bool,
    seconds: float | None,
    rtt_ms: float,
    http: bool,
    keep_logs: Path | None,
) -> None:
    """Watch a connection of an unmodified program live through everything.

    Two hosts are made of network namespaces, with a daemon on each and the policy of the paper's
    Figure 10 in force. Data flow while cables are pulled, addresses vanish and all links go.
    The machine's own network is not touched. The exit status is 0 if nothing was lost, 1 if
    something was, 2 if it could not run.

    \b
    Examples:
      migrate demo
      migrate demo --rtt-ms 20
      migrate demo --json | jq .largest_gap_ms
    """  # noqa: D301
    from migrated.demo.run import Options, run

    options = Options(
        as_json=as_json, seconds=seconds, rtt_s=rtt_ms / 1000, http_only=http, log_folder=keep_logs
    )
    ctx.exit(run(options))
