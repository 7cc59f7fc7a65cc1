"""The live timeline: plain lines for a file, colours and a progress bar for a terminal."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

SCENE, GOOD, QUIET, BAD = "bold", "green", "dim", "bold red"
"""The styles of lines: a new scene, a success, an aside, a failure."""


class Timeline(Protocol):
    """Where the demonstration is told."""

    def say(self, text: str, style: str = "", *, at_s: float | None = None) -> None:
        """Add a line; ``at_s`` is in seconds since the beginning."""

    def progress(self, elapsed_s: float, total_bytes: int) -> None:
        """Show how far things are."""


class PlainTimeline:
    """Lines of text, for whatever is not a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def say(self, text: str, style: str = "", *, at_s: float | None = None) -> None:
        """Add a line and flush it: somebody may be waiting at the other end of a pipe."""
        del style
        self._stream.write(_timed(text, at_s) + "\n")
        self._stream.flush()

    def progress(self, elapsed_s: float, total_bytes: int) -> None:
        """Do nothing: lines that are kept need no bar."""


class RichTimeline:
    """Lines in colour, and below them a bar with bytes and rate."""

    def __init__(self, stream: IO[str], seconds: float) -> None:
        self._console = Console(file=stream, highlight=False)
        self._seconds = seconds
        self._rate = Rate()
        self._stack = ExitStack()
        self._bar = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._stack.enter_context(self._bar)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def say(self, text: str, style: str = "", *, at_s: float | None = None) -> None:
        """Add a line above the bar."""
        line = escape(_timed(text, at_s))
        self._console.print(f"[{style}]{line}[/]" if style else line)

    def progress(self, elapsed_s: float, total_bytes: int) -> None:
        """Move the bar."""
        rate = self._rate.of(elapsed_s, total_bytes)
        text = f"{elapsed_s:4.1f} s  {total_bytes / 1e6:6.1f} MB  {rate / 1e6:5.1f} MB/s"
        if self._task is None:
            self._task = self._bar.add_task(text, total=self._seconds)
        self._bar.update(self._task, completed=elapsed_s, description=text)


class Rate:
    """Bytes per second over about the last half second. Pure."""

    _WINDOW_S = 0.5

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = [(0.0, 0)]

    def of(self, now: float, total_bytes: int) -> float:
        """Note the total so far and return the rate."""
        self._seen.append((now, total_bytes))
        while len(self._seen) > 2 and self._seen[1][0] <= now - self._WINDOW_S:
            del self._seen[0]
        since, before = self._seen[0]
        return (total_bytes - before) / (now - since) if now > since else 0.0


def _timed(text: str, at_s: float | None) -> str:
    return f"{'':9}{text}" if at_s is None else f"{at_s:5.1f} s  {text}"
