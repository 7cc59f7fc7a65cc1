"""Hold programs still without their parents noticing.

``PTRACE_SEIZE`` and ``PTRACE_INTERRUPT`` stop a thread without a signal: no shell
reports a stopped job, and a blocking call is restarted when the thread goes on.
If this process dies while it holds a program, the kernel lets the program go on.

Source: ptrace(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from migrated.kernel.errors import RebindError

STOP_DEADLINE_S: Final = 0.25
"""How long a thread may take to stop; one that waits for a disk can take longer and fails the move."""

_WAIT_STEP_S: Final = 0.00005
_PTRACE_DETACH: Final = 17
_PTRACE_SEIZE: Final = 0x4206
_PTRACE_INTERRUPT: Final = 0x4207
_WALL: Final = 0x40000000  # __WALL: wait for threads as for processes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, thread: int, data: int = 0) -> None:
    if _libc.ptrace(request, thread, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Held:
    """The threads that are stopped now."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def hold(self, pid: int) -> None:
        """Stop every thread of ``pid``, also those made while we do so."""
        while new := _threads(pid) - self.threads:
            for thread in new:
                self._seize(pid, thread)
            for thread in new & self.threads:
                self._await_stop(thread)

    def release(self) -> None:
        """Let every thread go on. A thread that died meanwhile is no error."""
        for thread in self.threads:
            try:
                _ptrace(_PTRACE_DETACH, thread)
            except ProcessLookupError:
                _reap(thread)
        self.threads.clear()

    def _seize(self, pid: int, thread: int) -> None:
        try:
            _ptrace(_PTRACE_SEIZE, thread)
            self.threads.add(thread)
            _ptrace(_PTRACE_INTERRUPT, thread)
        except ProcessLookupError:
            self.threads.discard(thread)
        except PermissionError as error:
            raise RebindError(f"process {pid} can't be held still: {_why_not(pid)}") from error

    def _await_stop(self, thread: int) -> None:
        deadline = time.monotonic() + STOP_DEADLINE_S
        while True:
            try:
                waited, status = os.waitpid(thread, os.WNOHANG | _WALL)
            except ChildProcessError:
                self.threads.discard(thread)
                return
            if waited and os.WIFSTOPPED(status):
                return
            if waited:
                self.threads.discard(thread)
                return
            if time.monotonic() > deadline:
                raise RebindError(f"thread {thread} did not stop within {STOP_DEADLINE_S:g} s")
            time.sleep(_WAIT_STEP_S)


@contextmanager
def held_still(pids: Iterable[int]) -> Iterator[frozenset[int]]:
    """Stop all threads of the processes, and let them go on at the end, whatever happens.

    The kernel ties a traced thread to the tracing *thread*: enter and leave in one thread.

    Args:
        pids: the processes; children that one of them forks while being stopped are stopped too.

    Yields:
        The process ids that are held.

    Raises:
        RebindError: a process may not be traced, is traced already, or does not stop.

    Source: ptrace(2), ``PTRACE_SEIZE``.
    """
    held = _Held()
    done: set[int] = set()
    try:
        waiting = set(pids)
        while waiting:
            for pid in waiting:
                held.hold(pid)
            done |= waiting
            # Nobody in `done` runs now, so the set of their children can't grow behind our back.
            waiting = {child for pid in waiting for child in _children(pid)} - done
        yield frozenset(done)
    finally:
        held.release()


def _threads(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return set()


def _children(pid: int) -> set[int]:
    children: set[int] = set()
    for thread in _threads(pid):
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.update(int(word) for word in text.split())
    return children


def _why_not(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "it is gone"
    tracer = next((line.split()[1] for line in status.splitlines() if line.startswith("TracerPid:")), "0")
    if tracer != "0":
        return f"process {tracer} traces it already"
    return os.strerror(errno.EPERM).lower() + " (is CAP_SYS_PTRACE there?)"


def _reap(thread: int) -> None:
    try:
        os.waitpid(thread, os.WNOHANG | _WALL)
    except ChildProcessError:
        return
