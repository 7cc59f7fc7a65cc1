"""Start the process of a complete continuation: as the user whom it came from, and never as more.

The child is forked by `subprocess`, without any Python between fork and exec. What that offers no parameter
for (nice value, signal mask, capabilities that survive a change of user) belongs to a single thread on
Linux, and a child inherits it from the thread that forks; so a thread of its own sets it and forks.

Measured in a process of 98 MB: 5 ms for a change of user with fork; 0.2 ms where no user is changed, because
then the child is made by vfork. A set-up by another program costs more, or hides why an exec failed: 11 ms
for an isolated Python, 2 ms for setpriv(1). vfork with a change of user would let that user signal us.

The variables of the dynamic linker in the environment (``LD_PRELOAD``) are passed on as they are: the program
runs as the user who has set them.

Source: the Migrate paper, section V-C.2; credentials(7), capabilities(7).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from migrated.continuations.bounds import Sender, StartRefusedError, check_process
from migrated.kernel.capabilities import missing_for_other_users
from migrated.kernel.owner import acting_as
from sessionlayer.continuations.values import Process

CONTINUATION_VARIABLE: Final = "MIGRATE_CONT"
"""The number of the descriptor on which the program speaks with the daemon."""

PREVIOUS_VARIABLE: Final = "MIGRATE_PID"
"""The process that has returned the continuation, for people."""

STANDARD: Final = ("stdin", "stdout", "stderr")

_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522
_CAPABILITY_HEADER: Final = struct.Struct("=Ii")
_CAPABILITY_SETS: Final = struct.Struct("=6I")  # effective, permitted, inheritable; twice

_libc = ctypes.CDLL(None, use_errno=True)


class StartedProcess:
    """A process that runs. Its end is noticed by `wait` only, which has to be awaited."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; return its exit status, or minus the number of the signal that ended it.

        Source: pidfd_open(2).
        """
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(pidfd, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        return self._process.wait()


def check_start(process: Process, sender: Sender) -> None:
    """Refuse a process that is more than its sender, or that this daemon has no right to start.

    Call it when a continuation is returned, with `Sender.of` the program's connection: only then does the
    kernel still know the sender's groups, and the program still has its own connection if the answer is no.

    Raises:
        StartRefusedError: it is refused.
    """
    check_process(process, sender)
    _check_rights(process)


async def start(
    process: Process,
    sender: Sender,
    conversation: int,
    *,
    standard: Mapping[str, int] | None = None,
) -> StartedProcess:
    """Start a process in a session of its own, and wait until it is what it should be.

    It inherits nothing of the daemon but the resource limits, the namespaces and the control group. Its nice
    value is never better than the daemon's, nor better than 0 unless its sender was root.

    Args:
        process: what to start.
        sender: who returned the continuation. `check_start` has to have judged its groups when it did; they
            may be taken from the record afterwards.
        conversation: a descriptor that the program inherits, named by ``MIGRATE_CONT``; the caller's.
        standard: descriptors for some of ``stdin``, ``stdout`` and ``stderr``; ``/dev/null`` for the others.

    Raises:
        StartRefusedError: it is refused, or can't be started; nothing was.
    """
    check_start(process, sender)
    options = _options(process, sender, conversation, standard or {})
    result: Future[subprocess.Popen[bytes]] = Future()
    nice = process.nice if sender.uid == 0 else max(process.nice, 0)
    work = partial(_start_here, process, nice, options)
    threading.Thread(target=_run, args=(work, result), name="start", daemon=True).start()
    try:
        return StartedProcess(await asyncio.wrap_future(result))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StartRefusedError(_reason(process, error)) from error


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _run(work: Callable[[], subprocess.Popen[bytes]], result: Future[subprocess.Popen[bytes]]) -> None:
    try:
        result.set_result(work())
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the thread
        result.set_exception(error)


def _check_rights(process: Process) -> None:
    if not _is_us(process) and (missing := missing_for_other_users()):
        raise StartRefusedError(
            f"this daemon may not start programs as user {process.uid}: {' and '.join(missing)} missing "
            f"(docs/capabilities.md says what to do)"
        )


def _is_us(process: Process) -> bool:
    return (
        {process.uid, process.euid} == {os.getuid(), os.geteuid()}
        and {process.gid, process.egid} == {os.getgid(), os.getegid()}
        and set(process.groups) == set(os.getgroups())
    )


def _options(
    process: Process, sender: Sender, conversation: int, standard: Mapping[str, int]
) -> Mapping[str, Any]:
    environment = process.environment | {
        CONTINUATION_VARIABLE: str(conversation),
        PREVIOUS_VARIABLE: str(sender.pid),
    }
    return {
        "env": environment,
        "umask": process.umask,
        "pass_fds": (conversation,),
        "start_new_session": True,
        **{name: standard.get(name, subprocess.DEVNULL) for name in STANDARD},
        **_credentials(process),
    }


def _credentials(process: Process) -> Mapping[str, Any]:
    if _is_us(process):
        return {}  # no right is needed, and the child is made by vfork
    if process.uid == process.euid and process.gid == process.egid:
        return {"user": process.uid, "group": process.gid, "extra_groups": process.groups}
    # Only a program of root's can ask for this, and few do.
    return {"preexec_fn": partial(_become, process)}


def _become(process: Process) -> None:
    os.setgroups(process.groups)
    os.setresgid(process.gid, process.egid, process.egid)
    os.setresuid(process.uid, process.euid, process.euid)


def _start_here(process: Process, nice: int, options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a process from a thread that ends right after: what is set here is this thread's alone."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))
    _pass_no_capabilities()
    signal.pthread_sigmask(signal.SIG_SETMASK, process.blocked_signals)
    with _directory(process) as directory:
        return subprocess.Popen(process.argv, cwd=directory, **options)


@contextmanager
def _directory(process: Process) -> Iterator[str]:
    """Find the working directory with the rights of its user, because the child enters it with ours."""
    if _is_us(process):
        yield process.directory
        return
    _checked(_libc.syscall(_setgroups_number(), len(process.groups), _group_list(process.groups)))
    with acting_as(process.euid, process.egid):
        # The dot, because to go into a folder takes another permission than to open it.
        number = os.open(f"{process.directory}/.", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def _setgroups_number() -> int:
    """Return the number of a system call for this thread alone; the C library's is for all threads."""
    return {"x86_64": 116}.get(platform.machine(), 159)


def _group_list(groups: Sequence[int]) -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * len(groups))(*groups)


def _pass_no_capabilities() -> None:
    """Clear what a daemon that is not root would hand to its children."""
    _checked(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    header = _CAPABILITY_HEADER.pack(_CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    _checked(_libc.capget(header, sets))
    effective, permitted, _, effective_high, permitted_high, _ = _CAPABILITY_SETS.unpack(sets.raw)
    without = _CAPABILITY_SETS.pack(effective, permitted, 0, effective_high, permitted_high, 0)
    _checked(_libc.capset(header, without))


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _reason(process: Process, error: Exception) -> str:
    program = f"`{process.argv[0]}` can't be started as user {process.euid}"
    if isinstance(error, OSError) and error.strerror:
        what = f" (`{os.fsdecode(error.filename).removesuffix('/.')}`)" if error.filename else ""
        return f"{program}: {error.strerror.lower()}{what}"
    return f"{program}: {error}"
