"""Logs through policies: then and now, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from migrated.authoring.described import address_present, link_state
from migrated.authoring.replay import ReplayError, replay
from migrated.recording.entries import DecisionGiven, Entry, SessionMoved, SnapshotBegan, SnapshotEnded
from monitors.events import FactMeasured, LinkGone
from tests.migrated.authoring.daemon import EPOCH, LoggingDaemon, described, policy

TEXT = """monitor-policy {
    score-interface eth* 100
    score-interface wlan* 50
    score-interface lte* 10
    when metered = yes for 1s until metered = no for 3s score-interface * -70
    when rtt > 300ms for 2s score-interface wlan* never
    on port 80 { settle 5s suspend after 4s }
}
"""
OTHER = "monitor-policy { score-interface wlan* 200 score-interface eth* 100 settle 0s }"
PLACES = {"eth0": "10.0.0.5", "wlan0": "10.1.0.5", "lte0": "10.2.0.5"}
INDEX = {name: number for number, name in enumerate(PLACES, 1)}

Step = tuple[float, Callable[[LoggingDaemon], None]]


def _bring(name: str, *, up: bool) -> Callable[[LoggingDaemon], None]:
    return lambda daemon: daemon.event(link_state(name, INDEX[name], up=up))


def _begin(daemon: LoggingDaemon) -> None:
    for name, address in PLACES.items():
        daemon.event(link_state(name, INDEX[name], up=True))
        daemon.event(address_present(name, INDEX[name], address))
    daemon.open(described("ssh", "10.0.0.5"), ("eth0", "10.0.0.5"))
    daemon.open(described("web", "10.1.0.5", 80), ("wlan0", "10.1.0.5"))


def _daemon(text: str = TEXT) -> LoggingDaemon:
    daemon = LoggingDaemon(text)
    _begin(daemon)
    return daemon


def _cable_pulled() -> LoggingDaemon:
    daemon = _daemon()
    for at, up in ((200.0, False), (300.0, True)):
        daemon.advance(at)
        _bring("eth0", up=up)(daemon)
    daemon.advance(400.0)
    _bring("lte0", up=False)(daemon)
    return daemon


def _marks(entries: Sequence[Entry], text: str | None = None) -> list[tuple[str, float, str, str]]:
    rows = replay(entries, policy(text) if text else None)
    return [(r.mark, r.decision.clock, r.decision.session, r.decision.name) for r in rows]


def test_the_policy_of_the_log_decides_as_it_did() -> None:
    daemon = _cable_pulled()
    expected = [
        ("=", 105.0, "web", "eth0"),
        ("=", 200.0, "ssh", "wlan0"),
        ("=", 200.0, "web", "wlan0"),
        ("=", 302.0, "ssh", "eth0"),
        ("=", 305.0, "web", "eth0"),
    ]
    assert sorted(_marks(daemon.entries)) == expected
    assert sorted(_marks(daemon.entries, TEXT)) == expected


def test_another_policy_is_followed_by_its_sessions() -> None:
    rows = _marks(_cable_pulled().entries, OTHER)
    assert ("+", 100.0, "ssh", "wlan0") in rows
    assert [row for row in rows if row[0] == "-" and row[2] == "ssh"] == [
        ("-", 200.0, "ssh", "wlan0"),
        ("-", 302.0, "ssh", "eth0"),
    ]
    assert rows == sorted(rows, key=lambda row: row[1])


def test_a_decision_has_both_times_and_the_reasons_of_now() -> None:
    first = next(row for row in replay(_cable_pulled().entries) if row.decision.session == "ssh")
    assert first.decision.wall == EPOCH + first.decision.clock
    assert any("/etc/log.policy:3" in reason for reason in first.decision.reasons)


def test_what_was_decided_late_is_the_same_decision() -> None:
    late = (DecisionGiven, SessionMoved)
    entries = [
        replace(entry, clock=entry.clock + 0.9) if isinstance(entry, late) else entry
        for entry in _cable_pulled().entries
    ]
    assert {mark for mark, *_ in _marks(entries)} == {"="}


def test_after_a_restart_only_the_snapshot_counts() -> None:
    again = LoggingDaemon(TEXT, start=5.0)
    _begin(again)
    again.advance(50.0)
    rows = _marks(_cable_pulled().entries + again.entries)
    assert {mark for mark, *_ in rows} == {"="}
    assert rows[-1] == ("=", 10.0, "web", "eth0")


def test_a_file_can_be_replayed_alone() -> None:
    daemon = _daemon()
    daemon.advance(150.0)
    begin = daemon.rotate()
    daemon.advance(200.0)
    _bring("eth0", up=False)(daemon)
    daemon.advance(300.0)
    assert sorted(_marks(daemon.entries[begin:])) == [
        ("=", 200.0, "ssh", "wlan0"),
        ("=", 200.0, "web", "wlan0"),
    ]


def test_what_a_snapshot_no_longer_names_is_gone() -> None:
    daemon = _daemon()
    daemon.advance(150.0)
    lost = len(daemon.entries)
    daemon.event(LinkGone(interface="eth0", index=1))
    daemon.close("web")
    begin = daemon.rotate()
    daemon.advance(200.0)
    daemon.event(LinkGone(interface="wlan0", index=2))
    daemon.advance(300.0)
    rows = _marks(daemon.entries[:lost] + daemon.entries[begin:])
    assert rows[-1] == ("=", 200.0, "ssh", "lte0")
    assert not [row for row in rows if row[2] == "web" and row[1] > 105.0]


def test_a_snapshot_that_was_cut_off_still_counts() -> None:
    daemon = _daemon("monitor-policy { score-interface wlan* 5 settle 0s }")
    begin = daemon.rotate()
    cut = [entry for entry in daemon.entries[begin:] if not isinstance(entry, SnapshotEnded)]
    assert isinstance(cut[0], SnapshotBegan)
    assert _marks(cut) == []
    assert [mark for mark, *_ in _marks(cut, OTHER.replace("eth* 100", "lte* 300"))] == ["+", "+"]


def test_lines_about_sessions_that_nobody_knows_are_passed_over() -> None:
    assert _marks(_cable_pulled().entries[-1:]) == []
    assert _marks([]) == []


def test_a_policy_that_never_comes_to_rest_ends_the_replay() -> None:
    with pytest.raises(ReplayError, match="to and fro without end"):
        _marks(_cable_pulled().entries, "monitor-policy { score-interface current -10 settle 0s }")


_FACTS = st.sampled_from(
    [
        FactMeasured(fact="metered", value=True, interface="eth0"),
        FactMeasured(fact="metered", value=False, interface="eth0"),
        FactMeasured(fact="metered", value=True, interface="wlan0", lifetime_s=4.0),
        FactMeasured(fact="metered", value=False, interface="wlan0", lifetime_s=4.0, measured_at=102.0),
        FactMeasured(fact="rtt", value=0.5, interface="wlan0", peer="18.31.0.9", measured_at=5.0),
        FactMeasured(fact="rtt", value=0.5, interface="wlan0", peer="18.31.0.9"),
        FactMeasured(fact="rtt", value=0.1, interface="wlan0", peer="18.31.0.9"),
        FactMeasured(fact="rtt", value=None, interface="wlan0", peer="18.31.0.9"),
    ]
)
_DEEDS: st.SearchStrategy[Callable[[LoggingDaemon], None]] = st.one_of(
    st.builds(lambda name, up: _bring(name, up=up), st.sampled_from(list(PLACES)), st.booleans()),
    _FACTS.map(lambda fact: lambda daemon: daemon.event(fact)),
    st.sampled_from([TEXT, TEXT.replace("100", "20")]).map(lambda text: lambda daemon: daemon.reload(text)),
)
_STEPS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 7.0]), _DEEDS), max_size=25)


@given(_STEPS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_log_agrees_with_itself(steps: list[Step], fails: bool) -> None:
    daemon = _daemon()
    if fails:
        daemon.simulation.failing.add("wlan0")
    for after, deed in steps:
        daemon.advance(daemon.simulation.now + after)
        deed(daemon)
        if after == 7.0:
            daemon.rotate()
    rows = list(replay(daemon.entries))
    assert [row.mark for row in rows] == ["="] * len(daemon.given)
