"""Connections and links that people describe in words."""

from __future__ import annotations

import pytest

from engine import Connection
from migrated.authoring.described import (
    DescriptionError,
    address_present,
    connection,
    link_state,
    unknown,
)


def test_a_connection_is_read_with_what_is_known_of_it() -> None:
    found = connection("TCP [2001:DB8::5]:1 -> [2001:db8::9]:22", user="ann", remote_hosts=["b.net"])
    assert found == Connection(
        proto="tcp",
        local_address="2001:db8::5",
        local_port=1,
        remote_address="2001:db8::9",
        remote_port=22,
        user="ann",
        remote_hosts=("b.net",),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "expected the form `tcp 10.0.0.5:40000 -> 18.31.0.9:22`"),
        ("sctp 10.0.0.5:1 -> 10.0.0.6:2", "unknown protocol `sctp`; expected `tcp` or `udp`"),
        ("tcp 10.0.0.5 -> 10.0.0.6:2", "`10.0.0.5` is not ADDRESS:PORT"),
        ("tcp 2001:db8::5:1 -> 10.0.0.6:2", "an IPv6 address stands in brackets"),
        ("tcp 10.0.0.555:1 -> 10.0.0.6:2", "`10.0.0.555` is not an address"),
        ("tcp 10.0.0.5:1 -> 10.0.0.6:65536", "`65536` is not a port; expected a number from 0 to 65535"),
        ("tcp 10.0.0.5:1 -> 10.0.0.6:²", "`²` is not a port"),
    ],
)
def test_what_is_no_connection_is_said_to_be_none(text: str, message: str) -> None:
    with pytest.raises(DescriptionError, match=message.replace("[", r"\[")):
        connection(text)


def test_a_role_is_one_of_two() -> None:
    with pytest.raises(DescriptionError, match="neither `client` nor `server`"):
        connection("tcp 10.0.0.5:1 -> 10.0.0.6:2", role="peer")


def test_a_label_is_of_its_interface() -> None:
    present = address_present("eth0:1", 2, "10.0.0.5")
    assert (present.interface, present.label, present.family) == ("eth0", "eth0:1", 4)
    assert address_present("eth0", 2, "2001:DB8::5").address == "2001:db8::5"


def test_a_link_without_carrier_is_not_usable() -> None:
    assert link_state("eth0", 2, up=True).usable
    assert not link_state("eth0", 2, up=False).usable


def test_what_there_is_not_is_guessed_or_what_there_is_named() -> None:
    assert (
        str(unknown("link", "wlna0", ["wlan0", "eth0"])) == "there is no link `wlna0`; did you mean `wlan0`?"
    )
    assert str(unknown("link", "x", ["wlan0", "eth0"])) == "there is no link `x`; there is `eth0`, `wlan0`"
    assert str(unknown("link", "x", [])) == "there is no link `x`; there is none"
