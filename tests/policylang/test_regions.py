"""What the algebra of regions says is what one connection at a time says."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylang import parse_policy
from policylang.ast import Condition, Glob, NumberRange, On, Prefix
from policylang.globs import Alphabet, TooComplexError, names_of
from policylang.regions import Example, Region, Space, conditions_in

CONDITIONS = [
    "proto tcp",
    "proto not udp",
    "role server",
    "port ssh",
    "port 20-25, 80",
    "port not 80",
    "port 0-65535",
    "l-port 3001-3010",
    "any-port 22",
    "any-port not 3005, 80",
    "remote-ip 18.31.0.4/24",
    "remote-ip not 18.31.0.0/16",
    "remote-ip 2001:db8::/32",
    "remote-ip 0.0.0.0/0",
    "local-ip 10.0.0.0/8, 2001:db8::/48",
    "user ann",
    "user not ann",
    'user "a*", bob',
    "app ssh",
    'app "/usr/bin/*"',
    'app not "s*"',
    "app scp, sftp",
    'session "backup-*"',
    "session not mail",
    'remote-host "*.mit.edu"',
    "remote-host WEB.mit.edu.",
    'remote-host not "*.org"',
]

EXAMPLES = st.builds(
    Example,
    proto=st.sampled_from(["tcp", "udp"]),
    role=st.sampled_from(["client", "server"]),
    remote_ip=st.sampled_from(["18.31.0.9", "18.31.7.9", "192.0.2.9"]),
    local_ip=st.sampled_from(["10.0.0.5", "172.16.0.5"]),
    port=st.sampled_from([22, 25, 80, 443, 3005, 65535]),
    l_port=st.sampled_from([22, 3005, 40000]),
    user=st.sampled_from([None, "ann", "alf", "bob", "eve"]),
    app=st.sampled_from([None, "/usr/bin/ssh", "ssh", "/opt/scp", "curl"]),
    session=st.sampled_from(["backup-1", "mail", "x"]),
    remote_hosts=st.sampled_from(
        [(), ("web.mit.edu",), ("www.gnu.org", "web.mit.edu"), ("a.mit.edu", "b.org"), ("x",)]
    ),
)
SIX = EXAMPLES.map(lambda example: replace(example, remote_ip="2001:db8::9", local_ip="2001:db8::5"))


def read(*texts: str) -> list[Condition]:
    body = "\n".join(f"on {text} margin 1" for text in texts)
    policy = parse_policy(f"monitor-policy {{ {body} }}").policy
    assert policy is not None
    return list(conditions_in(policy.statements))


def holds(condition: Condition, example: Example) -> bool:
    asked: dict[str, list[Any]] = {
        "proto": [example.proto],
        "role": [example.role],
        "port": [example.port],
        "l-port": [example.l_port],
        "any-port": [example.port, example.l_port],
        "remote-ip": [ip_address(example.remote_ip)],
        "local-ip": [ip_address(example.local_ip)],
        "user": [example.user] if example.user else [],
        "app": [example.app, example.app.split("/")[-1]] if example.app else [],
        "session": [example.session],
        "remote-host": list(example.remote_hosts),
    }
    subjects = asked[condition.key]
    found = any(_matches(value, subject) for value in condition.values for subject in subjects)
    return bool(subjects) and found is not condition.negated


def _matches(value: object, subject: Any) -> bool:
    match value:
        case NumberRange():
            return bool(value.low <= subject <= value.high)
        case Prefix():
            return subject in value.network
        case Glob(text=text):
            return fnmatchcase(subject, text)
    text = str(getattr(value, "text", ""))
    return bool(subject in (text, text.lower().rstrip(".")))


SPACE = Space(read(*CONDITIONS))
LISTS = st.lists(st.sampled_from(CONDITIONS), max_size=4)


@given(LISTS, LISTS, st.one_of(EXAMPLES, SIX))
def test_every_example_of_a_region_satisfies_it_and_nothing_outside_does(
    inside: list[str], outside: list[str], example: Example
) -> None:
    yes, no = read(*inside), read(*outside)
    region = SPACE.where(yes) - SPACE.where(no)
    expected = all(holds(c, example) for c in yes) and not all(holds(c, example) for c in no)
    assert bool(region) or not expected
    for box in region.boxes:
        found = SPACE.example(Region((box,)))
        assert all(holds(c, found) for c in yes)
        assert not all(holds(c, found) for c in no)


@given(LISTS, LISTS, st.one_of(EXAMPLES, SIX))
def test_a_connection_is_in_a_region_if_and_only_if_it_satisfies_it(
    first: list[str], second: list[str], example: Example
) -> None:
    at = _place(example)
    assert at
    one, two = SPACE.where(read(*first)), SPACE.where(read(*second))
    in_one, in_two = (all(holds(c, example) for c in read(*texts)) for texts in (first, second))
    assert bool(at & one) is in_one
    assert bool(at & (one | two)) is (in_one or in_two)
    assert bool(at & (one - two)) is (in_one and not in_two)
    assert (at <= one) is in_one


def _place(example: Example) -> Region:
    """Return the connections that no condition can tell from the example."""
    region = SPACE.everything
    for condition in read(*CONDITIONS):
        where = SPACE.where([condition])
        region = region & where if holds(condition, example) else region - where
    return region


def test_unknown_satisfies_neither_a_condition_nor_its_negation() -> None:
    ann, others = SPACE.where(read("user ann")), SPACE.where(read("user not ann"))
    rest = SPACE.everything - (ann | others)
    assert SPACE.example(rest).user is None
    assert not ann & others


def test_a_host_has_several_names() -> None:
    both = SPACE.where(read("remote-host WEB.mit.edu.", 'remote-host "*.mit.edu"'))
    assert SPACE.example(both).remote_hosts == ("web.mit.edu",)
    elsewhere = SPACE.where(read('remote-host "*.mit.edu"', "remote-host not WEB.mit.edu."))
    assert fnmatchcase(SPACE.example(elsewhere).remote_hosts[0], "*.mit.edu")
    assert not both & SPACE.where(read("remote-host not WEB.mit.edu."))


def test_the_two_ends_are_of_one_family() -> None:
    conditions = read("remote-ip 2001:db8::/32", "local-ip 10.0.0.0/8")
    assert not Space(conditions).where(conditions)
    assert not SPACE.where(read("remote-ip 2001:db8::/32", "remote-ip 0.0.0.0/0"))


def test_equal_sets_written_differently_are_equal() -> None:
    conditions = read("port 1-10", "port 1-5, 6-10", "port not 0, 11-65535")
    space = Space(conditions)
    first, *others = (space.where([c]) for c in conditions)
    assert all(first <= other and other <= first for other in others)


def test_a_witness_is_what_people_recognise() -> None:
    space = Space(read("port ssh", "remote-ip 18.31.0.0/24"))
    example = space.example(space.where(read("port ssh", "remote-ip 18.31.0.0/24")))
    assert (example.proto, example.port, example.remote_ip) == ("tcp", 22, "18.31.0.1")
    assert space.example(space.everything - space.where(read("port ssh"))).port == 443


PATTERNS = st.lists(st.text("ab*?[]!-/", min_size=1, max_size=5), max_size=4)


@given(PATTERNS, st.text("abc/-!]", min_size=1, max_size=5), st.booleans())
def test_every_combination_of_patterns_has_a_name_and_every_name_its_combination(
    patterns: list[str], name: str, paths: bool
) -> None:
    def matching(text: str) -> frozenset[int]:
        names = (text, text.rpartition("/")[2]) if paths else (text,)
        return frozenset(i for i, p in enumerate(patterns) if any(fnmatchcase(n, p) for n in names))

    found = names_of(patterns, (), Alphabet(paths=paths))
    assert matching(name) in found
    assert all(matching(witness) == signature for signature, witness in found.items())


def test_patterns_beyond_the_bound_are_refused() -> None:
    with pytest.raises(TooComplexError, match="ways to match"):
        names_of(["*a" + "?" * 20], ())


def test_conditions_are_found_in_every_body() -> None:
    policy = parse_policy(
        "monitor-policy { on port 1 { on port 2 margin 1 } else on port 3 margin 2 "
        "when on-battery = yes on port 4 margin 3 else on port 5 margin 4 }"
    ).policy
    assert policy is not None
    assert isinstance(policy.statements[0], On)
    texts = [str(getattr(v, "text", "")) for c in conditions_in(policy.statements) for v in c.values]
    assert texts == ["1", "2", "3", "4", "5"]


def test_work_for_patterns_is_bounded_also_where_states_are_few_and_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policylang.globs.MAX_STEPS", 100_000)
    with pytest.raises(TooComplexError, match="ways to match"):
        names_of(["*a" * stars + "?" * stars for stars in range(1, 18)])


def test_very_many_plain_names_are_no_matter() -> None:
    assert len(names_of([f"user-number-{number}" for number in range(4000)])) == 4001
