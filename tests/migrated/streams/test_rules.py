from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrated.streams.addresses import AddressError, UnixEndpoint
from migrated.streams.rules import Names, may_reach, names_in, plain_address, read_rule

NAMES: Names = {"localhost": frozenset({ip_address("127.0.0.1"), ip_address("::1")})}


@pytest.mark.parametrize(
    ("pattern", "address", "port", "allowed"),
    [
        ("localhost:22", "127.0.0.1", 22, True),
        ("localhost:22", "::1", 22, True),
        ("localhost:22", "127.0.0.1", 23, False),
        ("localhost:22", "127.0.0.2", 22, False),
        ("unknown:22", "127.0.0.1", 22, False),
        ("192.0.2.7:80-89", "192.0.2.7", 80, True),
        ("192.0.2.7:80-89", "192.0.2.7", 89, True),
        ("192.0.2.7:80-89", "192.0.2.7", 90, False),
        ("192.0.2.7:80-89", "192.0.2.8", 80, False),
        ("10.0.0.0/8:*", "10.255.0.1", 65535, True),
        ("10.0.0.0/8:*", "11.0.0.1", 1, False),
        ("10.0.0.0/8:*", "::ffff:10.0.0.1", 1, True),
        ("[::ffff:10.0.0.1]:1", "10.0.0.1", 1, True),
        ("[2001:db8::/32]:443", "2001:db8:1::1", 443, True),
        ("[2001:db8::/32]:443", "2001:db9::1", 443, False),
        ("[fe80::/10]:443", "fe80::1%2", 443, True),
        ("*:443", "203.0.113.1", 443, True),
        ("*:443", "2001:db8::1", 443, True),
        ("*:443", "203.0.113.1", 80, False),
        ("*:443", "127.0.0.1", 443, False),
        ("*:443", "::1", 443, False),
        ("*:443", "::ffff:127.0.0.1", 443, False),
        ("*:443", "169.254.169.254", 443, False),
        ("*:443", "fe80::1", 443, False),
        ("0.0.0.0/0:443", "127.0.0.1", 443, True),
        ("0.0.0.0/0:443", "0.0.0.0", 443, False),
        ("[::/0]:443", "::", 443, False),
        ("[::/0]:443", "ff02::1", 443, False),
        ("0.0.0.0/0:443", "224.0.0.1", 443, False),
    ],
)
def test_what_a_pattern_allows(pattern: str, address: str, port: int, allowed: bool) -> None:
    assert may_reach((read_rule(pattern),), plain_address(address), port, NAMES) is allowed


def test_nothing_is_allowed_without_a_rule() -> None:
    assert not may_reach((), ip_address("127.0.0.1"), 22, NAMES)
    assert not may_reach((UnixEndpoint("/run/x"),), ip_address("127.0.0.1"), 22, NAMES)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_address_and_its_port_allow_nothing_else(address: object, port: int) -> None:
    text = f"[{address}]" if ":" in str(address) else str(address)
    rule = read_rule(f"{text}:{port}")
    same = plain_address(str(address))
    assert may_reach((rule,), same, port, {}) is not (same.is_unspecified or same.is_multicast)
    assert not may_reach(
        (rule,), ip_address(int(same) ^ 1) if same.version == 4 else ip_address("::2:1"), port, {}
    )
    assert not may_reach((rule,), same, port % 65535 + 1, {})


def test_only_names_that_matter_are_asked_for() -> None:
    rules = tuple(map(read_rule, ("a:22", "b:20-25", "c:80", "10.0.0.1:22", "*:22", "unix:/x")))
    assert names_in(rules, 22) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "`localhost` has no port"),
        ("localhost:ssh", "`ssh` is not a port"),
        ("localhost:90-80", "the range `90-80` runs backwards; did you mean `80-90`?"),
        ("10.0.0.1/8:22", "`10.0.0.1/8` has bits beyond its prefix; did you mean `10.0.0.0/8`?"),
        ("10.0.0.0/33:22", "`10.0.0.0/33` is not a network; write it like `10.0.0.0/8`"),
        ("*.example.org:22", "`*.example.org` is neither a host name nor an address"),
        ("2001:db8::/32:443", "an IPv6 address stands in brackets"),
        ("unix:x", "`x` is not an absolute path"),
    ],
)
def test_wrong_patterns_are_named(text: str, message: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_rule(text)
    assert message in str(caught.value)
