from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from migrated.continuations.reports import ContinuationReports
from migrated.continuations.store import ContinuationStore, StoredContinuation
from migrated.control.continuations import (
    AttributeReport,
    ContinuationList,
    ContinuationReport,
    Continuations,
    ExpireContinuation,
    ShowContinuation,
)
from migrated.control.messages import Done, Refused
from migrated.control.permission import Credentials
from sessionlayer.continuations.codec import encode
from sessionlayer.continuations.values import Kind, Tag
from tests.migrated.continuations.samples import HOST_KEY, UID, stored
from tests.sessionlayer.continuations.samples import COMPLETE, PROCESS

ROOT = Credentials(pid=1, uid=os.geteuid(), gid=0)
OWNER = Credentials(pid=2, uid=UID, gid=0)
STRANGER = Credentials(pid=3, uid=UID + 1, gid=0)


def number(text: int) -> str:
    return text.to_bytes(16, "big").hex()


class Daemon:
    """A store, what answers for it, and a note of what was given up; ``live`` are not suspended."""

    def __init__(self, folder: Path) -> None:
        self.store = ContinuationStore(folder, HOST_KEY)
        self.live: set[bytes] = set()
        self.given_up: list[tuple[bytes, str]] = []
        self.reports = ContinuationReports(self.store, self._expire)

    def _expire(self, session_id: bytes, why: str) -> None:
        if session_id not in self.live:
            self.given_up.append((session_id, why))
            self.store.remove([session_id])

    def listed(self, who: Credentials) -> list[str]:
        answer = self.reports.handle(Continuations(), who)
        assert isinstance(answer, ContinuationList)
        return [one.session for one in answer.continuations]

    def shown(self, session: str, who: Credentials, *, values: bool = False) -> ContinuationReport | Refused:
        answer = self.reports.handle(ShowContinuation(session=session, values=values), who)
        assert isinstance(answer, ContinuationReport | Refused)
        return answer


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.store.close()


def complete(session: int) -> StoredContinuation:
    return replace(stored(session), kind=Kind.COMPLETE, content=encode(COMPLETE))


def test_everybody_sees_their_own_and_root_all(daemon: Daemon) -> None:
    daemon.store.save([stored(1), stored(2, expires_at=2e9), stored(3, expires_at=1e9, uid=STRANGER.uid)])
    assert daemon.listed(ROOT) == [number(3), number(2), number(1)]
    assert daemon.listed(OWNER) == [number(2), number(1)]
    assert daemon.listed(STRANGER) == [number(3)]


def test_what_is_in_a_continuation(daemon: Daemon) -> None:
    daemon.store.save([complete(1)])
    report = daemon.shown(number(1), OWNER)
    assert isinstance(report, ContinuationReport)
    assert report.summary.kind == "complete"
    assert (report.command_line, report.directory) == (PROCESS.argv, PROCESS.directory)
    assert report.variables == ("HOME", "LANG")
    assert report.attributes == (
        AttributeReport(name="index", size=2, exported=True),
        AttributeReport(name="name", size=5, exported=False),
    )
    assert report.compatibility == ("lib libssl 3.0.17",)


def test_values_are_told_only_when_asked_for(daemon: Daemon) -> None:
    daemon.store.save([complete(1)])
    report = daemon.shown(number(1), OWNER, values=True)
    assert isinstance(report, ContinuationReport)
    assert report.variables == ("HOME=/home/me", "LANG=C.UTF-8")
    assert [attribute.value for attribute in report.attributes] == list(COMPLETE.attributes.values())


def test_it_is_told_what_does_not_fit_any_more(daemon: Daemon) -> None:
    daemon.store.save([complete(1)])
    report = daemon.shown(number(1), OWNER)
    assert isinstance(report, ContinuationReport)
    assert report.differs == ("lib `libssl` is missing: `3.0.17` is required",)
    daemon.store.vectors.register(UID, "counter", [Tag(id="lib", name="libssl", value="3.0.17")])
    report = daemon.shown(number(1), OWNER)
    assert isinstance(report, ContinuationReport)
    assert report.differs == ()


@pytest.mark.parametrize(
    ("session", "who", "code"),
    [
        (number(1), STRANGER, "permission"),
        ("ff", OWNER, "unknown-session"),
        ("00", ROOT, "ambiguous"),
    ],
)
def test_what_is_refused_changes_nothing(daemon: Daemon, session: str, who: Credentials, code: str) -> None:
    daemon.store.save([stored(1), stored(2)])
    for request in (ShowContinuation(session=session), ExpireContinuation(session=session)):
        answer = daemon.reports.handle(request, who)
        assert isinstance(answer, Refused)
        assert answer.code == code
    assert (daemon.given_up, len(daemon.store.entries)) == ([], 2)


def test_an_unknown_session_says_where_to_look(daemon: Daemon) -> None:
    answer = daemon.shown("ff", ROOT)
    assert isinstance(answer, Refused)
    assert answer.reason.endswith("`ff`; `migrate continuations list` lists them")


def test_expire_by_hand(daemon: Daemon) -> None:
    daemon.store.save([stored(1), stored(2)])
    answer = daemon.reports.handle(ExpireContinuation(session=number(1)), OWNER)
    assert answer == Done(message="session 00000000 is given up")
    assert daemon.given_up == [(stored(1).session_id, f"by hand, by {UID}")]
    assert daemon.listed(ROOT) == [number(2)]


def test_one_that_is_about_to_go_on_is_left_alone(daemon: Daemon) -> None:
    daemon.store.save([stored(1)])
    daemon.live.add(stored(1).session_id)
    answer = daemon.reports.handle(ExpireContinuation(session=number(1)), OWNER)
    assert isinstance(answer, Refused)
    assert answer.code == "busy"
    assert daemon.listed(OWNER) == [number(1)]


def test_an_altered_one_is_roots_business(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    daemon.store.save([stored(1)])
    daemon.store.close()
    with sqlite3.connect(tmp_path / "continuations.sqlite") as connection:
        connection.execute("UPDATE continuations SET program = 'sh'")
    connection.close()
    daemon = Daemon(tmp_path)
    assert (daemon.listed(ROOT), daemon.listed(OWNER)) == ([number(1)], [])
    for who, code in ((OWNER, "permission"), (ROOT, "unreadable")):
        answer = daemon.shown(number(1), who)
        assert isinstance(answer, Refused)
        assert answer.code == code
    daemon.live.add(stored(1).session_id)
    assert isinstance(daemon.reports.handle(ExpireContinuation(session=number(1)), ROOT), Done)
    assert daemon.store.altered == frozenset()
    daemon.store.close()


def test_a_newer_continuation_says_so(daemon: Daemon) -> None:
    newer = replace(stored(1), content=b"MIGC\x00\x63")
    daemon.store.save([newer])
    answer = daemon.shown(number(1), OWNER)
    assert isinstance(answer, Refused)
    assert "written by a newer migrate-sessions (format 99" in answer.reason
