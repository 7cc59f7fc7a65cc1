"""Network namespaces without names: made by a keeper process, gone when the keeper is gone.

Source: namespaces(7), network_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from migrated.lab.errors import LabError
from migrated.lab.system import enter_network

T = TypeVar("T")


class Namespace:
    """One network namespace, in which functions are called.

    ``path`` names it for ``ip link ... netns PATH`` and ``nsenter --net=PATH``.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in a thread that is inside, and return its result.

        Sockets that the function makes and programs that it starts stay in this namespace.
        ``/proc/self/net`` is that of the process; ``/proc/thread-self/net`` is the one inside.

        Raises:
            OSError: the namespace cannot be entered.
            Exception: whatever the function raises.
        """

        def inside() -> T:
            enter_network(self._descriptor)
            return function()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(inside).result()

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._descriptor)


class Keeper:
    """The builder's end of a keeper process."""

    def __init__(self) -> None:
        # Its own session: ^C in the terminal must reach the builder alone.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "migrated.lab.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def new_namespace(self) -> Namespace:
        """Return a fresh namespace with its loopback interface up.

        Raises:
            LabError: the kernel refuses, or the keeper has ended.
        """
        reply = self._ask()
        if not reply.isdigit():
            raise LabError(f"no network namespace could be made: {reply or 'the keeper process has ended'}")
        return Namespace(f"/proc/{self._process.pid}/fd/{reply}")

    def _ask(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("new\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End every program in the namespaces, then the keeper."""
        with suppress(BrokenPipeError), self._process:  # one that has died is told nothing
            self._process.communicate("end\n")
