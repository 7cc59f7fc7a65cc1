"""The conformance suite, for the kernel's sockets and for ours."""

from __future__ import annotations

import socket

import pytest

from sessionlayer.testing import STREAM_CHECKS, Check, Pair, check_stream_sockets, run_check
from tests.sessionlayer.sockets.pairs import PAIRS


@pytest.mark.parametrize("check", STREAM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", PAIRS)
def test_a_stream_socket_does_what_is_expected(kind: str, check: Check) -> None:
    run_check(check, PAIRS[kind]())


class Swapping(socket.socket):
    """A socket that hands out bytes in another order."""

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return super().recv(bufsize, flags)[::-1]


def swapping() -> Pair:
    one, other = socket.socketpair()
    return one, Swapping(fileno=other.detach())


def test_a_socket_that_swaps_bytes_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"bytes arrive in order: .*expected b'abc"):
        check_stream_sockets(swapping)


def test_every_check_is_in_the_list() -> None:
    import sessionlayer.testing as module

    named = {
        value
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
        and list(getattr(value, "__annotations__", ())) == ["one", "other", "return"]
    }
    assert named == set(STREAM_CHECKS)
