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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from migrated.kernel.errors import RebindError

STOP_DEADLINE_S: Final = 0.25
"""How long a thread may take to stop; one that waits for a disk can take longer and fails the move."""

_WAIT_STEP_S: Final = 0.00005
_PTRACE_DETACH: Final = 17
_PTRACE_SEIZE: Final = 0x4206
_PTRACE_INTERRUPT: Final = 0x4207
_PTRACE_EVENT_STOP: Final = 128
_WALL: Final = 0x40000000  # __WALL: wait for threads as for processes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, thread: int, data: int = 0) -> None:
    if _libc.ptrace(request, thread, None, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_late: set[int] = set()
"""Threads that are still to be let go.

They did not stop in time and will when they leave the kernel; or they were killed, and their parent hears of
it only when we have. A program's first thread ends last.
"""


def let_late_ones_go() -> None:
    """Let those threads go on that stopped only after their move had failed, or end that were killed in it.

    Call it now and then from the thread that holds programs still, as long as this process lives.
    """
    for thread in tuple(_late):
        if _detached(thread, 0):
            _late.discard(thread)


class _Held:
    """The threads that are stopped now, each with the signal that it was about to receive, or 0."""

    def __init__(self) -> None:
        self._threads: dict[int, int] = {}
        self._over: set[int] = set()

    def hold(self, pid: int) -> None:
        """Stop every thread of ``pid``, also those made while we do so."""
        while new := _threads(pid) - self._threads.keys() - self._over:
            seized = [thread for thread in new if self._seize(pid, thread)]
            for thread in seized:
                self._await_stop(thread)

    def release(self) -> None:
        """Let every thread go on, with the signal that it was about to receive."""
        for thread, number in self._threads.items():
            if not _detached(thread, number):
                _late.add(thread)
        self._threads.clear()

    def _seize(self, pid: int, thread: int) -> bool:
        try:
            _ptrace(_PTRACE_SEIZE, thread)
            self._threads[thread] = 0
            _ptrace(_PTRACE_INTERRUPT, thread)
        except ProcessLookupError:
            if thread in self._threads:
                _late.add(thread)  # it was killed between the two calls
            self._forget(thread)
            return False
        except PermissionError as error:
            if not _is_over(thread):
                raise RebindError(f"process {pid} can't be held still: {_why_not(pid)}") from error
            self._forget(thread)  # a zombie can't be traced and does nothing
            return False
        return True

    def _await_stop(self, thread: int) -> None:
        deadline = time.monotonic() + STOP_DEADLINE_S
        while True:
            late = time.monotonic() > deadline  # before the look: it may be us who could not run meanwhile
            try:
                waited, status = os.waitpid(thread, os.WNOHANG | _WALL)
            except ChildProcessError:
                self._forget(thread)
                return
            if waited and not os.WIFSTOPPED(status):
                self._forget(thread)
                return
            if waited:
                self._threads[thread] = 0 if status >> 16 == _PTRACE_EVENT_STOP else os.WSTOPSIG(status)
                return
            if late:
                raise RebindError(f"thread {thread} did not stop within {STOP_DEADLINE_S:g} s")
            time.sleep(_WAIT_STEP_S)

    def _forget(self, thread: int) -> None:
        self._threads.pop(thread, None)
        self._over.add(thread)


@contextmanager
def held_still(
    pids: Iterable[int], concerned: Callable[[frozenset[int]], Iterable[int]] = frozenset
) -> Iterator[frozenset[int]]:
    """Stop all threads of the processes, and let them go on at the end, whatever happens.

    The kernel ties a traced thread to the tracing *thread*: enter and leave in one thread.

    Args:
        pids: the processes.
        concerned: given children of those that are stopped, which may have been forked while they were
            being stopped, returns the ones that must be stopped too; all, if it is not given.

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
            children = frozenset(child for pid in waiting for child in _children(pid)) - done
            waiting = set(concerned(children)) if children else set()
        yield frozenset(done)
    finally:
        held.release()


def _detached(thread: int, number: int) -> bool:
    """Let a stopped thread go on; return whether that could be done, or it has ended."""
    try:
        # A stop that was not waited for would come back; an end is kept from the parent until it was.
        waited, status = os.waitpid(thread, os.WNOHANG | _WALL)
    except ChildProcessError:
        return True
    if waited and not os.WIFSTOPPED(status):
        return True
    with suppress(ProcessLookupError):
        _ptrace(_PTRACE_DETACH, thread, number)
        return True
    return False


def _threads(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}  # noqa: PTH208
    except (FileNotFoundError, ProcessLookupError):
        return set()


def _is_over(thread: int) -> bool:
    try:
        state = Path(f"/proc/{thread}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


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
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "it is gone"
    tracer = next((line.split()[1] for line in status.splitlines() if line.startswith("TracerPid:")), "0")
    if tracer != "0":
        return f"process {tracer} traces it already"
    return os.strerror(errno.EPERM).lower() + " (is CAP_SYS_PTRACE there?)"
