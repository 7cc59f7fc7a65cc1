from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from sessionlayer.continuations.codec import decode, encode
from sessionlayer.continuations.values import Continuation, Process

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, signal, sys
from sessionlayer.application.capture import this_process
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import Continuation
os.umask(0o027)
os.nice(3)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
os.chdir("/usr")
sys.stdout.buffer.write(encode(Continuation(process=this_process())))
"""


def test_a_process_is_captured_as_it_is() -> None:
    environment = {"PYTHONPATH": str(ROOT), "WORD": "größer", "MIGRATE_CONT": "7", "MIGRATE_PID": "8"}
    command = [sys.executable, "-X", "utf8", "-c", PROGRAM, "argument"]
    told = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    process = decode(told).process
    assert process is not None
    assert process.argv == tuple(command)
    assert process.environment.items() >= {"PYTHONPATH": str(ROOT), "WORD": "größer"}.items()
    assert not {"MIGRATE_CONT", "MIGRATE_PID"} & process.environment.keys()
    assert (process.directory, process.umask) == ("/usr", 0o027)
    assert process.nice == min(os.getpriority(os.PRIO_PROCESS, 0) + 3, 19)
    assert process.blocked_signals == (signal.SIGUSR1, signal.SIGUSR2)
    assert (process.uid, process.euid) == (os.getuid(), os.geteuid())
    assert (process.gid, process.egid, process.groups) == (os.getgid(), os.getegid(), tuple(os.getgroups()))


def test_what_is_captured_can_be_kept() -> None:
    process = Process(
        argv=("x",), environment={}, directory="/", uid=1, euid=1, gid=1, egid=1, groups=(), umask=0, nice=0
    )
    assert decode(encode(Continuation(process=process))).process == process
