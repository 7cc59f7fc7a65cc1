"""What a process is, so that another one can take its place.

Source: the Migrate paper, section V-C.2; proc(5).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from sessionlayer.continuations.values import Process

_OURS: Final = frozenset({"MIGRATE_CONT", "MIGRATE_PID"})


def this_process() -> Process:
    """Return this process as it is now: its command line, environment, folder, user, groups and the like.

    The command line is the interpreter's own, with its options (``python -m program``), not `sys.argv`.

    Raises:
        FileNotFoundError: its working directory has been removed.
    """
    return Process(
        argv=_command_line(),
        environment={name: value for name, value in os.environ.items() if name not in _OURS},
        directory=os.getcwd(),  # noqa: PTH109 - pathlib is slow to import
        uid=os.getuid(),
        euid=os.geteuid(),
        gid=os.getgid(),
        egid=os.getegid(),
        groups=tuple(os.getgroups()),
        umask=_umask(),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
        blocked_signals=tuple(sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
    )


def _command_line() -> tuple[str, ...]:
    """Return the arguments with the interpreter's full path first, as ``PATH`` may be another by then."""
    return (sys.executable, *sys.orig_argv[1:])


def _umask() -> int:
    """Return the umask without changing it, which umask(2) can't do: other threads create files meanwhile."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib is slow to import
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    raise OSError("the kernel does not tell the umask in `/proc/self/status`: Linux 4.7 or newer is needed")
