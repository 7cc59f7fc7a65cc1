"""Ports that are reserved for connections leave descriptors to the rest of the daemon."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from migrated.kernel.errors import RebindError
from migrated.kernel.holders import Holder, duplicate
from migrated.kernel.ports import SPARE_SHARE, reserve_port

LIMIT = 256
TOO_MANY = os.strerror(errno.EMFILE)


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def exhaust(opened: ExitStack, open_one: Callable[[], socket.socket]) -> str:
    """Open as many as can be had, and return why there are no more."""
    try:
        for _ in range(LIMIT + 1):
            opened.enter_context(open_one())
    except OSError as error:
        return error.strerror or ""
    return "nothing"


@pytest.mark.usefixtures("few_descriptors")
def test_reservations_leave_descriptors_to_others() -> None:
    with ExitStack() as opened:
        assert exhaust(opened, lambda: reserve_port("127.0.0.1")) == TOO_MANY
        for _ in range(LIMIT // SPARE_SHARE // 2):  # a few of the highest numbers may be taken
            opened.enter_context(socket.socket())


@pytest.mark.usefixtures("few_descriptors")
def test_a_socket_that_no_descriptor_is_left_for_is_not_borrowed() -> None:
    with ExitStack() as opened, socket.socket() as sock:
        holder = Holder(pid=os.getpid(), descriptor=sock.fileno(), program="pytest", uses_io_uring=False)
        assert exhaust(opened, socket.socket) == TOO_MANY
        with pytest.raises(RebindError, match=f"can't be reached: {TOO_MANY}"):
            duplicate(holder)
