"""A bar for what takes a while, on terminals only and never among what a command prints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress(length: int, label: str, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Give a function that moves a bar on the standard error on; without a terminal it does nothing.

    Args:
        length: How much there is to do.
        label: What is done.
        shown: Whether there is to be a bar at all.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update
