from __future__ import annotations

import errno
import os
import subprocess

import pytest

from migrated.kernel.errors import SocketGoneError
from migrated.kernel.holders import Holder, duplicate

LEADER = "sleep 600 </dev/null >/dev/null 2>&1 & echo $!"


def test_a_process_that_ended_while_its_session_goes_on_is_gone() -> None:
    done = subprocess.Popen(["sh", "-c", LEADER], stdout=subprocess.PIPE, start_new_session=True)
    follower = int(done.communicate()[0])
    try:
        with pytest.raises(SocketGoneError, match=f"process {done.pid} is gone"):
            duplicate(Holder(pid=done.pid, descriptor=0, program="sh", uses_io_uring=False))
    finally:
        os.kill(follower, 9)


def test_older_kernels_call_such_a_process_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def pidfd_open(pid: int) -> int:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "pidfd_open", pidfd_open)
    with pytest.raises(SocketGoneError, match="process 7 is gone"):
        duplicate(Holder(pid=7, descriptor=0, program="sh", uses_io_uring=False))
