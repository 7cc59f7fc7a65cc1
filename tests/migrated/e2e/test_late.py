"""A daemon that is late: it works off what its peer asked for before it asked for something else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.migrated.e2e.arena import Arena

RTT_S = 0.4
DECIDED_S = 0.5
"""By then a daemon whose link is back has asked for its sessions to go there."""

PROBED_S = 4.5
"""By then a kernel has probed an end that it waits for: the time-out of a connection made anew is 3 s."""


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with Arena(tmp_path_factory.mktemp("late"), rtt_s=RTT_S) as arena:
        yield arena


def test_a_peer_that_followed_to_a_place_that_was_given_up_is_not_reset(far: Arena) -> None:
    talk = far.session_of()
    mark, mark_there = far.here.mark(), far.there.mark()
    far.link("eth0").cut()
    far.there.await_event("followed", since=mark_there, session=talk.session)
    with far.there.busy():  # nobody freezes the server's end while it waits
        far.link("ppp0").cut()  # with the answer
        far.here.await_event("suspended", since=mark, session=talk.session)
        mark = far.here.mark()
        far.link("eth0").plug()
        far.here.await_event("link-up", since=mark, link="eth0")
        time.sleep(DECIDED_S)
        far.link("ppp0").plug()
        time.sleep(PROBED_S)
    far.here.await_event("resumed", since=mark, session=talk.session)
    talk.await_progress()
    talk.finish()
