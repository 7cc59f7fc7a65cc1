"""The lines of an event log: what is written is read again, and what is no line is said to be none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import AttachmentPoint, Connection, Move, Reason, Resume, SessionDescription, Stay, Suspend
from migrated.recording import entries
from migrated.recording.entries import (
    AddressLost,
    AddressSeen,
    BadLineError,
    DecisionGiven,
    Entry,
    FactSeen,
    LinkLost,
    LinkSeen,
    MoveFailed,
    PolicyLoaded,
    PolicyText,
    SessionAdded,
    SessionMoved,
    SessionRemoved,
    SessionSuspended,
    SnapshotBegan,
    SnapshotEnded,
    decision_entry,
    decode_line,
    encode_line,
    event_entry,
)
from monitors.events import AddressGone, AddressPresent, Event, FactMeasured, LinkGone, LinkState, OperState
from policylang.ast import Layer, Span

LINK = LinkState(interface="wlan0", index=3, up=True, carrier=True, operstate=OperState.UP)
ADDRESS = AddressPresent(
    interface="wlan0",
    index=3,
    label="wlan0:1",
    address="2001:db8::5",
    prefix_length=64,
    family=6,
    usable=True,
)
SPAN = Span(file="/etc/a.policy", line=2, column=3, end_line=2, end_column=20)
POINT = AttachmentPoint(name="eth0:1", interface="eth0", index=2, address="10.0.0.5", family=4)
SESSION = SessionDescription(
    id="00ff",
    connections=(
        Connection(
            proto="tcp",
            local_address="10.0.0.5",
            local_port=40000,
            remote_address="18.31.0.9",
            remote_port=22,
            user="ann",
        ),
    ),
)

EVENTS: dict[type[Entry], Event] = {
    LinkSeen: LINK,
    LinkLost: LinkGone(interface="wlan0", index=3),
    AddressSeen: ADDRESS,
    AddressLost: AddressGone(interface="wlan0", index=3, address="2001:db8::5", family=6),
    FactSeen: FactMeasured(
        fact="rtt", value=0.3, interface="wlan0", peer="18.31.0.9", lifetime_s=30.0, measured_at=11.5
    ),
}

OTHERS: tuple[Entry, ...] = (
    SnapshotBegan(wall=1.5, clock=0.5, cause="rotated", program="0.1.0"),
    SnapshotEnded(wall=1.5, clock=0.5),
    PolicyLoaded(
        wall=1.5,
        clock=0.5,
        generation=3,
        files=(PolicyText(file="/etc/b.policy", layer=Layer.USER, text="# é\n", included_by=SPAN),),
    ),
    SessionAdded(wall=1.5, clock=0.5, description=SESSION, attachment=("eth0", "10.0.0.5"), suspended=True),
    SessionRemoved(wall=1.5, clock=0.5, session="00ff", reason="closed"),
    SessionMoved(wall=1.5, clock=0.5, session="00ff", attachment=("eth0", "10.0.0.5")),
    SessionSuspended(wall=1.5, clock=0.5, session="00ff"),
    MoveFailed(wall=1.5, clock=0.5, session="00ff", attachment=("eth0", "10.0.0.5"), reason="no route"),
    DecisionGiven(wall=1.5, clock=0.5, action="suspend", session="00ff", reasons=("no link",)),
)

VALUES = st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_an_event_is_read_as_it_was_written(kind: type[Entry]) -> None:
    entry = event_entry(EVENTS[kind], wall=1.7e9, clock=12.25)
    assert type(entry) is kind
    read = decode_line(encode_line(entry))
    assert read == entry
    assert getattr(read, "event") == EVENTS[kind]  # noqa: B009 - not every entry has one


@pytest.mark.parametrize("entry", OTHERS, ids=lambda entry: type(entry).__name__)
def test_what_else_is_written_is_read_again(entry: Entry) -> None:
    assert decode_line(encode_line(entry)) == entry


@given(fact=st.text(), value=VALUES, lifetime_s=st.none() | st.floats(0, 1e9))
def test_every_value_of_a_fact_keeps_its_type(
    fact: str, value: float | bool | str | None, lifetime_s: float | None
) -> None:
    event = FactMeasured(fact=fact, value=value, lifetime_s=lifetime_s)
    read = decode_line(encode_line(event_entry(event, wall=0.0, clock=0.0)))
    assert isinstance(read, FactSeen)
    assert read.event == event
    assert type(read.event.value) is type(value)


@pytest.mark.parametrize(
    ("decision", "action", "to", "urgent"),
    [
        (Move(session="00ff", to=POINT, urgent=True, reasons=()), "move", ("eth0", "10.0.0.5"), True),
        (Resume(session="00ff", to=POINT, reasons=()), "resume", ("eth0", "10.0.0.5"), False),
        (Suspend(session="00ff", reasons=(Reason(span=SPAN, text="gone"),)), "suspend", None, False),
    ],
)
def test_a_decision_is_written_with_its_reasons(
    decision: Move | Resume | Suspend, action: str, to: tuple[str, str] | None, urgent: bool
) -> None:
    entry = decision_entry(decision, wall=1.0, clock=2.0)
    assert (entry.action, entry.to, entry.urgent) == (action, to, urgent)
    assert entry.reasons == tuple(map(str, decision.reasons))
    assert entry.name == ("eth0:1" if to else "")


def test_to_stay_is_never_written() -> None:
    with pytest.raises(ValueError, match="to stay"):
        decision_entry(Stay(session="00ff", reasons=()), wall=1.0, clock=2.0)


def test_a_line_says_its_type_version_and_times() -> None:
    line = encode_line(SessionSuspended(wall=1.5, clock=0.5, session="00ff"))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"type": "suspended", "v": 1, "wall": 1.5, "clock": 0.5, "session": "00ff"}


WHOLE = encode_line(OTHERS[0])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "the line is empty"),
        (b"\n", "the line is empty"),
        (WHOLE[:-10], "is not JSON; was the line cut off?"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "no line of an event log"),
        (b'{"v":1,"x":' + b"[" * 100_000, "is not JSON"),
        (b"[]", "no line of an event log"),
        (b'{"a":1}', "no line of an event log"),
        (WHOLE.replace(b'"v":1', b'"v":2'), "the line is of version 2; this program reads version 1"),
        (WHOLE.replace(b'"snapshot"', b'"snappshot"'), "not as it should be"),
        (WHOLE.replace(b"0.5", b'"soon"'), "not as it should be"),
        (encode_line(OTHERS[3]).replace(b"18.31.0.9", b"18.31.0.999"), "not as it should be"),
    ],
)
def test_what_is_no_line_is_said_to_be_none(line: bytes, message: str) -> None:
    with pytest.raises(BadLineError, match=message):
        decode_line(line)


def test_a_line_without_end_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_LINE_BYTES", len(WHOLE) - 1)
    with pytest.raises(BadLineError, match="longer than"):
        decode_line(WHOLE)


@given(st.binary() | st.builds(lambda at: WHOLE[:at] + WHOLE[at + 1 :], st.integers(0, len(WHOLE))))
def test_no_bytes_make_another_error(line: bytes) -> None:
    try:
        entry = decode_line(line)
    except BadLineError:
        return
    assert decode_line(encode_line(entry)) == entry


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (SessionSuspended(wall=1e300, clock=0.5, session="00ff"), "a time at which nobody"),
        (SessionSuspended(wall=-1.0, clock=0.5, session="00ff"), "a time at which nobody"),
        (SessionSuspended(wall=1.5, clock=-1e300, session="00ff"), "a time at which nobody"),
        (
            FactSeen(wall=1.5, clock=0.5, event=FactMeasured(fact="hour", value=1.0, measured_at=-1e300)),
            "a time at which nobody",
        ),
        (
            SessionMoved(wall=1.5, clock=0.5, session="00ff", attachment=("10.0.0.5", "eth0")),
            "`eth0` is not an",
        ),
        (
            SessionAdded(wall=1.5, clock=0.5, description=SESSION, attachment=("eth0", "")),
            "is not an IP address",
        ),
        (event_entry(replace(ADDRESS, address="\0"), wall=1.5, clock=0.5), "is not an IP address"),
    ],
)
def test_what_no_engine_can_take_in_is_a_bad_line(entry: Entry, why: str) -> None:
    with pytest.raises(BadLineError, match=why):
        decode_line(encode_line(entry))
