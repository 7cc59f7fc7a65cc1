"""Who may do what, by the function that decides it; a real other user is met in test_control.py."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.control.messages import Refused
from migrated.control.permission import (
    OVERFLOW_UID,
    Credentials,
    choose_session,
    may_access,
    peer_credentials,
)

ROOT = Credentials(pid=1, uid=0, gid=0)
OWNERS = {"aa11": 1000, "aa22": 2000, "aa23": 2000, "bb": 1000, "bbb": 1000}


def user(uid: int) -> Credentials:
    return Credentials(pid=1, uid=uid, gid=uid)


@pytest.fixture(autouse=True)
def a_daemon_of_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_the_kernel_says_who_is_there() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_credentials(ours) == Credentials(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())


def test_who_may_access_what(monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_access(ROOT, 1000)
    assert may_access(user(1000), 1000)
    assert not may_access(user(1000), 2000)
    assert not may_access(user(1000), 0)
    monkeypatch.setattr(os, "geteuid", lambda: 500)
    assert may_access(user(500), 1000)
    assert may_access(ROOT, 1000)


def test_users_that_are_not_mapped_are_strangers_to_each_other() -> None:
    assert not may_access(user(OVERFLOW_UID), OVERFLOW_UID)


@pytest.mark.parametrize(
    ("prefix", "who", "expected"),
    [
        ("aa11", user(1000), "aa11"),
        ("aa", user(1000), "aa11"),  # those of others do not make it ambiguous
        ("aa2", user(2000), "ambiguous"),
        ("aa", ROOT, "ambiguous"),
        ("bb", user(1000), "bb"),  # a whole id, though another begins with it
        ("bbb", user(1000), "bbb"),
        ("aa2", user(1000), "permission"),
        ("aa22", user(1000), "permission"),
        ("cc", user(1000), "unknown-session"),
        ("", ROOT, "unknown-session"),
    ],
)
def test_which_session_a_prefix_means(prefix: str, who: Credentials, expected: str) -> None:
    chosen = choose_session(prefix, OWNERS, who)
    assert (chosen.code if isinstance(chosen, Refused) else chosen) == expected


def test_the_refusal_is_in_words() -> None:
    refusal = choose_session("aa22", OWNERS, user(1000))
    assert refusal == Refused(reason="session `aa22` belongs to another user", code="permission")


@given(
    st.dictionaries(st.text("ab", min_size=1, max_size=4), st.integers(1, 3), max_size=6),
    st.text("ab", max_size=4),
    st.integers(1, 3),
)
def test_nobody_ever_gets_the_session_of_another(owners: dict[str, int], prefix: str, uid: int) -> None:
    chosen = choose_session(prefix, owners, user(uid))
    if isinstance(chosen, str):
        assert owners[chosen] == uid
        assert chosen.startswith(prefix)
    else:
        own = [id_ for id_, owner in owners.items() if owner == uid and prefix and id_.startswith(prefix)]
        assert len(own) != 1 or prefix in owners
