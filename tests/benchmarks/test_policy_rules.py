"""The rules that the benchmark of the policy language draws are what it says that they are."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("_policy_rules")


def test_every_draw_is_the_same_and_every_rule_another(drawn: Any) -> None:
    among = drawn.rules(300)
    assert among == drawn.rules(300)
    assert among != drawn.rules(300, seed=11)
    assert len({rule.network for rule in among}) == 300


def test_prefixes_are_of_the_public_space(drawn: Any) -> None:
    networks = [rule.network for rule in drawn.rules(500)]
    for network in networks:
        if network.version == 4:
            assert network.is_global
            assert 8 <= network.prefixlen <= 24
        else:
            assert any(network.subnet_of(block) for block in drawn.V6_BLOCKS)
            assert 19 <= network.prefixlen <= 48
    assert 50 < sum(network.version == 6 for network in networks) < 150


def test_the_last_rule_alone_matches_its_request(drawn: Any) -> None:
    for size in (1, 10, 300):
        among = drawn.rules(size)
        request = drawn.last_one(among)
        assert drawn.first_match(among[:-1], request) is None
        assert drawn.first_match(among, request) == among[-1].link


def test_probes_are_answered_differently(drawn: Any) -> None:
    among = drawn.rules(300)
    answers = [drawn.first_match(among, request) for request in drawn.probes(among, 40)]
    assert len(answers) == 41
    assert None in answers
    assert len(set(answers)) > 4


def test_numbers_keep_the_order_of_addresses(drawn: Any) -> None:
    peers = import_module("_policy_peers")
    networks = [rule.network for rule in drawn.rules(100)]
    for network in networks:
        first, last = peers.bounds(network)
        for other in networks:
            for address in (other.network_address, other.broadcast_address):
                assert (first <= peers.number(address) <= last) == (address in network)
                assert float(peers.number(address)) == peers.number(address)
