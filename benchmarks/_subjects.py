"""The programs that are suspended and resumed, and what the paper says of such programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from _audio import AUDIO, PLAIN_AUDIO, Listeners
from _shell import Shells, plain_shell_server, shell_server
from _stage import Stage
from _stages import AUDIO_REFERENCE, BENCHMARK, SHELL, Reference
from _suspending import COMPLETE, INTERNAL, PLAIN, PLAIN_PROCESS, Client, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One program in two forms.

    Attributes:
        title: what it is called.
        plain: the form that knows nothing of Migrate, on a stage.
        program: the suspendable form.
        connect: starts clients of it; the counter's have none of their own.
        paper: what its stages are compared with.
        at_once: how many sessions are suspended together.
    """

    title: str
    plain: Callable[[Stage], Program]
    program: Callable[[Stage], Program]
    connect: Callable[[Stage, int], Client] | None
    paper: Reference
    at_once: tuple[int, ...]


_COUNTERS = (2, 4, 8, 16, 32, 64)
_SHELLS = (2, 4, 8, 16)
_LISTENERS = (1, 2, 4, 8, 16, 24)
"""Source: the Migrate paper, Fig. 14 and 16; Fig. 17."""

SUBJECTS = {
    "internal": Subject(
        title="the counter, internal continuations",
        plain=lambda _stage: PLAIN,
        program=lambda _stage: INTERNAL,
        connect=None,
        paper=BENCHMARK,
        at_once=_COUNTERS,
    ),
    "complete": Subject(
        title="the counter, complete continuations",
        plain=lambda _stage: PLAIN_PROCESS,
        program=lambda _stage: COMPLETE,
        connect=None,
        paper=BENCHMARK,
        at_once=_COUNTERS,
    ),
    "shell": Subject(
        title="the shell server, complete continuations",
        plain=plain_shell_server,
        program=shell_server,
        connect=Shells,
        paper=SHELL,
        at_once=_SHELLS,
    ),
    "audio": Subject(
        title="the audio server, internal continuations",
        plain=lambda _stage: PLAIN_AUDIO,
        program=lambda _stage: AUDIO,
        connect=Listeners,
        paper=AUDIO_REFERENCE,
        at_once=_LISTENERS,
    ),
}
