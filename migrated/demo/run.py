"""One run of the demonstration from beginning to end."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from migrated.demo.daemon import StageError, tail
from migrated.demo.director import OPENING_S, AdoptionError, Director
from migrated.demo.download import Download
from migrated.demo.echo import SshEcho
from migrated.demo.report import Report, as_json, make_report, summary
from migrated.demo.scenario import SCENES, Scene, expected_moves, stretched
from migrated.demo.stage import FIGURE10, Stage
from migrated.demo.timeline import BAD, GOOD, QUIET, PlainTimeline, RichTimeline, Timeline
from migrated.demo.traffic import Traffic, TrafficError, start_first
from migrated.lab import LabError, ensure_privileged

FINE, LOST, COULD_NOT_RUN = 0, 1, 2
"""The exit statuses."""

_FINISH_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; ``seconds`` is ``None`` for the usual length."""

    as_json: bool = False
    seconds: float | None = None
    rtt_s: float = 0.0
    http_only: bool = False
    log_folder: Path | None = None

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Return the scenes with the length wanted."""
        return SCENES if self.seconds is None else stretched(SCENES, self.seconds)


def run(options: Options) -> int:
    """Run the demonstration and return the exit status.

    An ordinary user's process is started again in a user namespace: nothing may have been done before.
    """
    try:
        ensure_privileged()
        signal.signal(signal.SIGTERM, _interrupt)
        with tempfile.TemporaryDirectory(prefix="migrate-demo-") as folder:
            return _run_in(Path(folder), options)
    except (LabError, StageError, TrafficError) as error:
        click.echo(f"migrate demo: {error}", err=True)
    except KeyboardInterrupt:
        click.echo("migrate demo: interrupted", err=True)
    return COULD_NOT_RUN


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Make a polite signal end everything in order, as Ctrl-C does."""
    raise KeyboardInterrupt


def _run_in(folder: Path, options: Options) -> int:
    log_folder = options.log_folder or folder
    log_folder.mkdir(parents=True, exist_ok=True)
    try:
        with _timeline(options) as timeline:
            report = _perform(folder, log_folder, options, timeline)
    except AdoptionError as error:
        click.echo(f"migrate demo: {error}", err=True)
        _show_logs(log_folder)
        return LOST
    _show(report, options)
    if not report.ok:
        _show_logs(log_folder)
    return FINE if report.ok else LOST


def _timeline(options: Options) -> PlainTimeline | RichTimeline:
    stream = sys.stderr if options.as_json else sys.stdout
    seconds = OPENING_S + sum(scene.least_s for scene in options.scenes)
    return RichTimeline(stream, seconds) if stream.isatty() else PlainTimeline(stream)


def _perform(folder: Path, log_folder: Path, options: Options, timeline: Timeline) -> Report:
    with ExitStack() as stack:
        timeline.say("building two hosts with two links between them, and starting a daemon on each", QUIET)
        stage = stack.enter_context(Stage(folder, log_folder, options.rtt_s))
        traffic = _start_traffic(stage, folder, options, timeline)
        stack.callback(traffic.close)
        timeline.say(f"{traffic.description}; `{FIGURE10}` is in force", QUIET)
        director = Director(stage, traffic, timeline)
        performance = director.run(options.scenes)
        delivery = traffic.finish(_FINISH_LIMIT_S)
        return make_report(
            traffic.name,
            performance,
            delivery,
            expected=expected_moves(options.scenes),
            seconds=director.elapsed_s(),
        )


def _start_traffic(stage: Stage, folder: Path, options: Options, timeline: Timeline) -> Traffic:
    choices: list[Callable[[], Traffic]] = [partial(Download, stage.net, folder)]
    if not options.http_only:
        choices.insert(0, partial(SshEcho, stage.net, folder))
    return start_first(choices, lambda text: timeline.say(text, BAD))


def _show(report: Report, options: Options) -> None:
    if options.as_json:
        click.echo(as_json(report))
        return
    console = Console(highlight=False)
    console.print()
    for what, how_much in summary(report):
        console.print(f"{what:18}{how_much}", markup=False)
    for failure in report.failures:
        console.print(f"FAILED: {failure}", style=BAD, markup=False)
    if report.ok:
        console.print("Nothing was lost.", style=GOOD)


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        click.echo(f"--- the end of {log.name}\n{tail(log)}", err=True)
    click.echo("`migrate demo --keep-logs DIR` keeps the logs of the daemons", err=True)
