from __future__ import annotations

import errno
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.genetlink import Family, GenericNetlinkError
from monitors.nl80211 import SSID_MAX, WirelessLink, is_news, network_name, printable, read_links
from tests.monitors.generic import attribute, end, generic, kernel, message, refusal

NUMBER = 28
FAMILY = Family(NUMBER, {"mlme": 7})
NEW_INTERFACE, NEW_STATION = 7, 19
STATION, ACCESS_POINT, P2P_CLIENT = 2, 3, 8


def interface(
    name: str | None = "wlan0", *, index: int = 3, kind: int = STATION, ssid: bytes | None = b"home"
) -> bytes:
    attributes = [attribute(3, struct.pack("=I", index)), attribute(5, struct.pack("=I", kind))]
    attributes.append(attribute(6, bytes.fromhex("020000000100")))
    if name is not None:
        attributes.append(attribute(4, name.encode() + b"\0"))
    if ssid is not None:
        attributes.append(attribute(52, ssid))
    return generic(NUMBER, NEW_INTERFACE, *attributes)


def station(signal: int | None = -70, average: int | None = None) -> bytes:
    info = b""
    if signal is not None:
        info += attribute(7, struct.pack("=b", signal))
    if average is not None:
        info += attribute(13, struct.pack("=b", average))
    access_point = attribute(6, bytes.fromhex("0200000002ff"))
    return generic(NUMBER, NEW_STATION, access_point, attribute(21 | 0x8000, info))


def read(*answers: bytes) -> tuple[WirelessLink, ...]:
    with kernel(*answers) as (ours, _):
        return read_links(ours, NUMBER)


def test_a_link_in_a_network() -> None:
    with kernel(interface(index=7), end(), station(-70), end()) as (ours, theirs):
        assert read_links(ours, NUMBER) == (WirelessLink(interface="wlan0", ssid="home", signal_dbm=-70),)
        links, stations = theirs.recv(100), theirs.recv(100)
    header = b"%c\0\0\0\x1c\0\x01\x03\1\0\0\0\0\0\0\0"
    assert links == header % 20 + b"\x05\x01\0\0"
    assert stations == header % 28 + b"\x11\x01\0\0" + b"\x08\0\x03\0\x07\0\0\0"


def test_the_average_counts_before_the_last_frame() -> None:
    (link,) = read(interface(), end(), station(-90, -64), end())
    assert link.signal_dbm == -64


@pytest.mark.parametrize("signal", [-128, -1, 0, 3])
def test_a_signal_has_a_sign(signal: int) -> None:
    (link,) = read(interface(), end(), station(signal), end())
    assert link.signal_dbm == signal


def test_a_link_in_no_network_has_neither() -> None:
    assert read(interface(ssid=None), end()) == (WirelessLink(interface="wlan0", ssid=None, signal_dbm=None),)


@pytest.mark.parametrize("answer", [end(), refusal(-errno.ENODEV), refusal(-errno.EOPNOTSUPP), station(None)])
def test_a_driver_may_not_tell_the_signal(answer: bytes) -> None:
    (link,) = read(interface(), end(), answer, end())
    assert (link.ssid, link.signal_dbm) == ("home", None)


def test_each_client_is_a_link_and_nothing_else() -> None:
    listed = (
        interface("ap0", kind=ACCESS_POINT) + interface(None, ssid=None) + interface("p2p0", kind=P2P_CLIENT)
    )
    assert [link.interface for link in read(listed, end(), station(), end())] == ["p2p0"]


def test_any_other_refusal_is_one() -> None:
    with pytest.raises(PermissionError):
        read(interface(), end(), refusal(-errno.EPERM))


@pytest.mark.parametrize(
    "hostile",
    [
        interface(ssid=b"x" * (SSID_MAX + 1)),
        generic(NUMBER, NEW_INTERFACE, attribute(4, b"wlan0\0")),
        generic(NUMBER, NEW_INTERFACE, attribute(4, b"wlan0\0"), attribute(5, b"\2")),
        generic(NUMBER, NEW_INTERFACE, attribute(4, b"wlan0\0"), attribute(5, b"\2\0\0\0")),
        interface()[:-5],
    ],
)
def test_a_hostile_link_is_an_error(hostile: bytes) -> None:
    with pytest.raises(GenericNetlinkError):
        read(hostile, end(), end())


@pytest.mark.parametrize("info", [b"\x05\0\x07", attribute(7, b"ab"), b"\xff\xff\x07\x00"])
def test_a_hostile_station_is_an_error(info: bytes) -> None:
    with pytest.raises(GenericNetlinkError):
        read(interface(), end(), generic(NUMBER, NEW_STATION, attribute(21, info)), end())


@given(st.binary(max_size=120))
def test_whatever_stands_in_a_link_raises_one_error(payload: bytes) -> None:
    with suppress(GenericNetlinkError):
        read(message(NUMBER, payload), end(), end(), end())


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"home", "home"),
        ("Café 5 GHz ☕".encode(), "Café 5 GHz ☕"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"a\x1b[2Jb\n\0", r"a\x1b[2Jb\n\x00"),
        ("\u202e".encode(), r"\u202e"),
        (b"", ""),
    ],
)
def test_a_network_may_have_any_name(raw: bytes, shown: str) -> None:
    assert network_name(raw) == shown


@given(st.binary(max_size=SSID_MAX))
def test_a_name_can_always_be_shown(raw: bytes) -> None:
    assert printable(raw).isprintable()
    printable(raw).encode()


@pytest.mark.parametrize("command", [7, 8, 46, 47, 48])
def test_links_and_connections_are_news(command: int) -> None:
    assert is_news(generic(NUMBER, 34) + generic(NUMBER, command, attribute(3, b"\3\0\0\0")), FAMILY)


def test_other_frames_are_none() -> None:
    assert not is_news(
        generic(NUMBER, 70), FAMILY
    )  # NL80211_CMD_UNPROT_DEAUTHENTICATE, which anybody can send
    assert not is_news(generic(NUMBER + 1, 46), FAMILY)
    assert not is_news(b"", FAMILY)


def test_news_that_is_cut_off_may_be_any() -> None:
    assert is_news(generic(NUMBER, 46, attribute(52, b"home"))[:30], FAMILY)
