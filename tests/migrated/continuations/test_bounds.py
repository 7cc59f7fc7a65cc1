"""A continuation can't ask for more than the program that returned it was."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.continuations.bounds import ARGUMENTS_MAX, Sender, StartRefusedError, check_process
from sessionlayer.continuations.values import Process

USER = Sender(pid=1, uid=1000, gid=1000, groups=frozenset({100, 200}))
ROOT = Sender(pid=1, uid=0, gid=0, groups=frozenset())
PLAIN = Process(
    argv=("server", "--port", "1"),
    environment={"PATH": "/bin"},
    directory="/",
    uid=1000,
    euid=1000,
    gid=1000,
    egid=1000,
    groups=(100,),
    umask=0o22,
    nice=0,
)

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another user": (
        {"uid": 1001, "euid": 1001},
        "asks for user 1001, and it comes from a program of user 1000",
    ),
    "root": ({"uid": 0, "euid": 0}, "asks for user 0"),
    "effectively root": ({"euid": 0}, r"asks for user 1000 \(effectively 0\)"),
    "really root": ({"uid": 0}, r"asks for user 0 \(effectively 1000\)"),
    "another group": ({"gid": 0}, "asks for group 0"),
    "effectively another group": ({"egid": 5}, "asks for group 5"),
    "a group more": ({"groups": (100, 42)}, "asks for group 42"),
}
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "user -1": ({"uid": 2**32 - 1, "euid": 2**32 - 1}, "whose number can't be"),
    "negative group": ({"groups": (-1,)}, "whose number can't be"),
    "no command": ({"argv": ()}, "command line is empty"),
    "no program": ({"argv": ("", "x")}, "command line is empty"),
    "null": ({"argv": ("a\0b",)}, "null character"),
    "name": ({"environment": {"A=B": "C"}}, "`=` in it"),
    "directory": ({"directory": "here"}, "`here` is not absolute"),
    "length": ({"argv": ("x", "é" * (ARGUMENTS_MAX // 2))}, "longer than"),
    "umask": ({"umask": 0o1000}, "umask 1000 can't be"),
    "nice": ({"nice": -21}, "nice value -21"),
    "signal": ({"blocked_signals": (0,)}, "signal that can't be"),
}


def test_itself_is_allowed() -> None:
    check_process(PLAIN, USER)
    check_process(msgspec.structs.replace(PLAIN, groups=(100, 200, 1000), egid=200), USER)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_more_is_refused_except_to_root(case: str) -> None:
    changes, reason = REFUSED[case]
    process = msgspec.structs.replace(PLAIN, **changes)
    with pytest.raises(StartRefusedError, match=reason):
        check_process(process, USER)
    check_process(process, ROOT)


@pytest.mark.parametrize("case", sorted(MALFORMED))
def test_what_makes_no_sense_is_refused_to_all(case: str) -> None:
    changes, reason = MALFORMED[case]
    for sender in (ROOT, Sender(pid=1, uid=2**32 - 1, gid=1000, groups=frozenset({-1, 100}))):
        with pytest.raises(StartRefusedError, match=reason):
            check_process(msgspec.structs.replace(PLAIN, **changes), sender)


@given(
    ids=st.tuples(*[st.integers(0, 3)] * 4),
    groups=st.lists(st.integers(0, 3), max_size=3),
    uid=st.integers(1, 3),
    allowed=st.sets(st.integers(0, 3), min_size=1),
)
def test_nobody_becomes_what_he_is_not(
    ids: tuple[int, ...], groups: list[int], uid: int, allowed: set[int]
) -> None:
    process = msgspec.structs.replace(
        PLAIN, uid=ids[0], euid=ids[1], gid=ids[2], egid=ids[3], groups=tuple(groups)
    )
    sender = Sender(pid=1, uid=uid, gid=min(allowed), groups=frozenset(allowed))
    try:
        check_process(process, sender)
    except StartRefusedError:
        assert set(ids[:2]) != {uid} or not {*ids[2:], *groups} <= allowed
    else:
        assert set(ids[:2]) == {uid}
        assert {*ids[2:], *groups} <= allowed


def test_the_kernel_vouches_for_the_sender() -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        assert Sender.of(one) == Sender(
            pid=os.getpid(), uid=os.geteuid(), gid=os.getegid(), groups=frozenset(os.getgroups())
        )
