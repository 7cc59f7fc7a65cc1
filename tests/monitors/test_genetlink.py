from __future__ import annotations

import errno
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import genetlink, nlmsg
from monitors.genetlink import (
    MESSAGES_MAX,
    Family,
    GenericNetlinkError,
    Message,
    connect,
    dump,
    find_family,
    message_of,
    messages,
    number,
    parse,
    text,
)
from tests.monitors.generic import attribute, end, generic, kernel, message, refusal

CONTROLLER, NEW_FAMILY = 16, 1

ATTRIBUTES = [
    (1, b"", b"\x04\x00\x01\x00"),
    (2, b"ab", b"\x06\x00\x02\x00ab\x00\x00"),
    (300, b"abcd", b"\x08\x00\x2c\x01abcd"),
]


def family_message(name: bytes, identity: int, *groups: tuple[bytes, int]) -> bytes:
    listed = b"".join(
        attribute(at, attribute(1, group + b"\0") + attribute(2, group_id.to_bytes(4, "little")))
        for at, (group, group_id) in enumerate(groups, 1)
    )
    return generic(
        CONTROLLER,
        NEW_FAMILY,
        attribute(2, name + b"\0"),
        attribute(1, identity.to_bytes(2, "little")),
        attribute(7 | 0x8000, listed),
    )


@pytest.mark.parametrize(("kind", "value", "packed"), ATTRIBUTES)
def test_an_attribute_is_packed_and_parsed(kind: int, value: bytes, packed: bytes) -> None:
    assert nlmsg.attribute(kind, value) == packed == attribute(kind, value)
    assert parse(packed) == {kind: value}
    assert parse(packed[: 4 + len(value)]) == {kind: value}  # the last one's padding may be missing


def test_flags_are_no_part_of_a_type() -> None:
    assert parse(attribute(7 | 0x8000, b"x") + attribute(8 | 0x4000, b"y")) == {7: b"x", 8: b"y"}


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_come_back_as_they_were(attributes: dict[int, bytes]) -> None:
    assert parse(b"".join(nlmsg.attribute(kind, value) for kind, value in attributes.items())) == attributes


@pytest.mark.parametrize(
    "broken",
    [b"\x04", b"\x04\x00\x01", b"\x03\x00\x01\x00", b"\x00\x00\x01\x00", b"\x09\x00\x01\x00abcd"],
)
def test_an_attribute_that_is_cut_off_is_an_error(broken: bytes) -> None:
    with pytest.raises(GenericNetlinkError):
        parse(broken)


@pytest.mark.parametrize(
    "broken",
    [b"\x10", message(16, b"", length=15), message(16, b"", length=0), message(16, b"abcd", length=64)],
)
def test_a_message_that_is_cut_off_is_an_error(broken: bytes) -> None:
    with pytest.raises(GenericNetlinkError):
        list(messages(broken))


def test_a_datagram_has_several_messages() -> None:
    datagram = message(16, b"abc") + message(17, b"") + message(18, b"defg")
    assert list(messages(datagram)) == [(16, b"abc"), (17, b""), (18, b"defg")]


def test_a_message_has_a_command_and_attributes() -> None:
    assert message_of(b"\x05\x01\x00\x00" + attribute(3, b"x")) == Message(5, {3: b"x"})
    with pytest.raises(GenericNetlinkError):
        message_of(b"\x05\x01\x00")


def test_numbers_have_their_size() -> None:
    assert number(b"\x34\x12", 2) == 0x1234
    with pytest.raises(GenericNetlinkError):
        number(b"\x34\x12", 4)


def test_text_ends_at_the_first_nul() -> None:
    assert (text(b"wlan0\0\0"), text(b"wlan0"), text(b"")) == (b"wlan0", b"wlan0", b"")


@given(st.binary(max_size=200))
def test_whatever_comes_raises_one_error(datagram: bytes) -> None:
    with suppress(GenericNetlinkError):
        for _, payload in messages(datagram):
            message_of(payload)
    with kernel(datagram, end()) as (ours, _), suppress(GenericNetlinkError, OSError):
        dump(ours, 30, 5)


def test_a_dump_asks_and_returns_everything() -> None:
    first = generic(30, 7, attribute(4, b"a")) + generic(30, 7, attribute(4, b"b"))
    second = generic(31, 7) + generic(30, 8) + end()
    with kernel(first, second) as (ours, theirs):
        found = dump(ours, 30, 5, attribute(3, b"\2\0\0\0"))
        asked = theirs.recv(1 << 16)
    assert found == [Message(7, {4: b"a"}), Message(7, {4: b"b"}), Message(8, {})]
    wanted = b"\x1c\0\0\0" + b"\x1e\0" + b"\x01\x03" + b"\1\0\0\0" + bytes(4)
    assert asked == wanted + b"\x05\x01\0\0" + b"\x08\0\x03\0\2\0\0\0"


@pytest.mark.parametrize("answer", [refusal(-errno.ENOENT), generic(30, 7) + end(-errno.ENOENT)])
def test_a_refusal_is_an_error_of_its_number(answer: bytes) -> None:
    with kernel(answer) as (ours, _), pytest.raises(FileNotFoundError):
        dump(ours, 30, 5)


@pytest.mark.parametrize("answer", [b"", message(3, b"\0\0"), b"\0" * 70_000])
def test_an_answer_that_is_none_is_an_error(answer: bytes) -> None:
    with kernel(answer) as (ours, _), pytest.raises(GenericNetlinkError):
        dump(ours, 30, 5)


def test_an_answer_has_an_end() -> None:
    with kernel(*[generic(30, 7) * 1000] * 5) as (ours, _), pytest.raises(GenericNetlinkError) as caught:
        dump(ours, 30, 5)
    assert str(MESSAGES_MAX) in str(caught.value)


def test_silence_ends() -> None:
    with kernel() as (ours, _):
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            dump(ours, 30, 5)


def test_a_family_is_found_by_its_name() -> None:
    listed = family_message(b"nl80211x", 40) + family_message(b"nl80211", 0x1234, (b"mlme", 7), (b"scan", 9))
    with kernel(listed, end()) as (ours, theirs):
        assert find_family(ours, "nl80211") == Family(0x1234, {"mlme": 7, "scan": 9})
        asked = theirs.recv(1 << 16)
    assert asked == b"\x14\0\0\0" + b"\x10\0" + b"\x01\x03" + b"\1\0\0\0" + bytes(4) + b"\x03\x01\0\0"


def test_a_family_that_is_not_there_is_not_found() -> None:
    with kernel(family_message(b"nlctrl", 16), end()) as (ours, _):
        assert find_family(ours, "nl80211") is None


@pytest.mark.parametrize("attributes", [[attribute(2, b"x\0")], [attribute(2, b"x\0"), attribute(1, b"\1")]])
def test_a_family_without_a_number_is_an_error(attributes: list[bytes]) -> None:
    answer = generic(CONTROLLER, NEW_FAMILY, *attributes)
    with kernel(answer, end()) as (ours, _), pytest.raises(GenericNetlinkError):
        find_family(ours, "x")


def test_the_real_kernel_answers() -> None:
    with closing(connect()) as ours:
        assert ours.gettimeout() == genetlink.ANSWER_LIMIT_S
        found = find_family(ours, "nlctrl")
        assert found is not None
        assert (found.number, set(found.groups)) == (CONTROLLER, {"notify"})
        assert find_family(ours, "no-such-family") is None
    with closing(connect()) as ours, pytest.raises(FileNotFoundError):
        dump(ours, 1023, 1)
