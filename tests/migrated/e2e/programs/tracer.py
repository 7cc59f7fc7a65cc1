"""Trace a process, as a debugger does, until standard input ends. Usage: tracer.py PID"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_PTRACE_SEIZE = 0x4206


def main() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for task in Path(f"/proc/{sys.argv[1]}/task").iterdir():
        if libc.ptrace(_PTRACE_SEIZE, int(task.name), None, None):
            return 1
    sys.stdout.write("tracing\n")
    sys.stdout.flush()
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
