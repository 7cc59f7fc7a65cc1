"""A client and a server of `_streams_program.py`, as two processes, and what the client measures."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from _stage import BenchmarkError

_PROGRAM = Path(__file__).with_name("_streams_program.py")
START_LIMIT_S = 60.0
WORK_LIMIT_S = 60.0

Popen = Callable[..., "subprocess.Popen[str]"]


class Pair:
    """Both programs, for the length of a ``with`` block.

    Args:
        kind: of the connections between them.
        connections: how many.
        address: of the server.
        client: starts a program where the client runs; ``server`` likewise.
    """

    def __init__(
        self,
        kind: str,
        connections: int = 1,
        *,
        address: str = "127.0.0.1",
        client: Popen = subprocess.Popen,
        server: Popen = subprocess.Popen,
    ) -> None:
        self.kind, self._connections, self._address = kind, connections, address
        self._popen = {"call": client, "serve": server}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            server = self._start("serve", self.kind, self._address)
            port = server.line(START_LIMIT_S).split()[1]
            self._client = self._start("call", self.kind, self._address, port, str(self._connections))
            self._client.line(START_LIMIT_S)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def ask(self, *words: object) -> dict[str, Any]:
        """Have the client do something, and return its figures.

        Raises:
            BenchmarkError: it did not, or not in time.
        """
        self._client.say(" ".join(map(str, words)))
        figures: dict[str, Any] = json.loads(self._client.line(WORK_LIMIT_S))
        return figures

    def _start(self, *words: str) -> _Program:
        program = _Program(self._popen[words[0]], words)
        self._stack.callback(program.close)
        return program


class _Program:
    def __init__(self, popen: Popen, words: tuple[str, ...]) -> None:
        self._words = words
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        command = [sys.executable, str(_PROGRAM), *words]
        self._process = popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")

    def line(self, limit_s: float) -> str:
        try:
            line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            line = ""
        if not line:
            raise BenchmarkError(f"`{' '.join(self._words)}` ended, or said nothing for {limit_s:g} s")
        return line

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
