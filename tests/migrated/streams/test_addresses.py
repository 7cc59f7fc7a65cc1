from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.streams.addresses import (
    AddressError,
    Destination,
    Endpoint,
    UnixEndpoint,
    read_destination,
    read_endpoint,
    read_listening,
    read_local,
)

HOSTS = st.one_of(
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z][a-z0-9-]{0,10}){0,3}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host:22", Endpoint("host", 22)),
        ("HOST.Example.:22", Endpoint("host.example.", 22)),
        ("192.0.2.1:65535", Endpoint("192.0.2.1", 65535)),
        ("[2001:DB8::1]:22", Endpoint("2001:db8::1", 22)),
        ("[fe80::1%eth0]:22", Endpoint("fe80::1%eth0", 22)),
        ("unix:/run/x.sock", UnixEndpoint("/run/x.sock")),
        ("unix:/run/a b", UnixEndpoint("/run/a b")),
    ],
)
def test_destinations(text: str, expected: Destination) -> None:
    assert read_destination(text) == expected


@given(HOSTS, st.integers(1, 65535))
def test_what_is_written_is_read_again(host: str, port: int) -> None:
    endpoint = Endpoint(host, port)
    assert read_destination(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host", "`host` has no port; write `HOST:PORT`"),
        ("host:", "has no port"),
        (":22", "`:22` has no host"),
        ("host:ssh", "`ssh` is not a port; expected a number from 1 to 65535"),
        ("host:0", "`0` is not a port"),
        ("host:65536", "`65536` is not a port"),
        ("host:٢٢", "is not a port"),
        ("2001:db8::1:22", "an IPv6 address stands in brackets"),
        ("[2001:db8::1:22", "has no `]` before its port"),
        ("[2001:db8::1]22", "has no `]` before its port"),
        ("ho st:22", "`ho st` is neither a host name nor an address"),
        ("-oProxyCommand=x:22", "is neither a host name nor an address"),
        ("127.1:22", "`127.1` is neither a host name nor an address"),
        ("2130706433:22", "is neither a host name nor an address"),
        ("h\x1b[2J:22", r"`h\x1b[2J` is neither"),
        ("/run/x.sock", "did you mean `unix:/run/x.sock`?"),
        ("unix:run/x.sock", "`run/x.sock` is not an absolute path"),
        ("unix:/run/../etc/x", "write `/etc/x`"),
        ("unix:/run/x\0y", "is not an absolute path"),
        ("unix:/\udcff", r"`unix:/\udcff` is not UTF-8"),
        (f"unix:/{'x' * 107}", "is too long; a socket's path has at most 107 bytes"),
        (f"{'x' * 253}:22", "is too long; a destination has at most 255 bytes"),
    ],
)
def test_wrong_destinations_are_named(text: str, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_destination(text)
    assert message in str(caught.value)


def refusal(text: str) -> str:
    try:
        read_destination(text)
    except AddressError as error:
        return str(error)
    return ""


@given(st.text(st.characters(exclude_categories=())))
def test_a_destination_is_read_or_refused(text: str) -> None:
    assert refusal(text).isprintable()


def test_a_port_may_be_left_out_where_there_is_a_default() -> None:
    assert read_endpoint("host", 6448) == Endpoint("host", 6448)
    assert read_endpoint("[::1]", 6448) == Endpoint("::1", 6448)
    assert read_endpoint("host:7", 6448) == Endpoint("host", 7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("6448", Endpoint("", 6448)), ("*:7", Endpoint("", 7)), ("[::1]:0", Endpoint("::1", 0))],
)
def test_where_a_server_listens(text: str, expected: Endpoint) -> None:
    assert read_listening(text) == expected


def test_where_a_program_of_this_host_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_local("8080") == Endpoint("127.0.0.1", 8080)
    assert read_local("0.0.0.0:8080") == Endpoint("0.0.0.0", 8080)
    assert read_local("./x.sock") == UnixEndpoint(str(tmp_path / "x.sock"))
    assert read_local("unix:/run/x.sock") == UnixEndpoint("/run/x.sock")
    with pytest.raises(AddressError, match="has no port"):
        read_local("x.sock")
