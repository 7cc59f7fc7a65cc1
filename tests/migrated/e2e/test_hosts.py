"""A policy that adopts by the name of the other host."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrated.lab import SERVER_V4
from tests.migrated.e2e.arena import Arena

pytestmark = pytest.mark.netns

POLICY = f"""\
monitor-policy {{
    score-interface * 1
    on remote-host nowhere.invalid, "{SERVER_V4}" adopt  # an address is a name that leads to itself
}}
"""


def test_a_connection_is_adopted_by_the_name_of_its_host(tmp_path: Path) -> None:
    with Arena(tmp_path, policy=POLICY) as arena:
        talk = arena.adopted(arena.talk())
        told = arena.here.await_event("hosts-unknown").fields
        assert told["hosts"] == ["nowhere.invalid"]
        arena.here.stop()
        mark = arena.here.mark()
        arena.here.start()
        arena.here.await_event("restored", since=mark, session=talk.session)
        talk.await_progress()
        talk.finish()
