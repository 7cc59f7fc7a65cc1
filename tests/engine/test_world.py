"""Links and addresses as they come and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine import Engine
from engine.world import World
from monitors.events import LinkGone, NetworkEvent, OperState
from policylang import load_policy
from tests.engine.build import PLACES, gone, link, present

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.policy"))


def test_an_event_heard_twice_changes_nothing() -> None:
    world = World()
    for event in (link("eth0"), present("eth0"), gone("eth0"), LinkGone(interface="eth0", index=2)):
        assert world.apply(event)
        assert not world.apply(event)


def test_a_link_of_the_same_name_takes_the_place_of_one_whose_end_went_unheard() -> None:
    world = World()
    for event in (link("eth0"), present("eth0"), replace(link("eth0"), index=40)):
        world.apply(event)
    assert list(world.points) == []
    world.apply(replace(present("eth0"), index=40))
    assert [(point.index, point.key) for point in world.points] == [(40, ("eth0", "10.0.0.5"))]


def test_a_renamed_link_gives_its_new_name_to_addresses_without_a_label_of_their_own() -> None:
    world = World()
    for event in (link("eth0"), present("eth0"), present("eth0:1"), replace(link("eth0"), interface="lan0")):
        world.apply(event)
    assert [(point.name, point.interface) for point in world.points] == [("eth0:1", "lan0"), ("lan0", "lan0")]


def test_an_address_without_a_link_is_no_attachment_point_yet() -> None:
    world = World()
    world.apply(present("eth0"))
    assert list(world.points) == []
    world.apply(link("eth0"))
    assert [point.name for point in world.points] == ["eth0"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (link("eth0", up=False), "switched off"),
        (link("eth0", carrier=False), "no carrier"),
        (replace(link("eth0"), operstate=OperState.DORMANT), "dormant"),
        (present("eth0", usable=False), "not usable"),
        (gone("eth0"), "not configured"),
    ],
)
def test_the_status_says_why_packets_cannot_leave(event: NetworkEvent, why: str) -> None:
    world, key = World(), (PLACES["eth0"][0], PLACES["eth0"][2])
    world.apply(link("eth0"))
    world.apply(present("eth0"))
    assert world.status(key) == ""
    world.apply(event)
    assert why in world.status(key)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_policy_can_be_judged(path: Path) -> None:
    result = load_policy([path], with_defaults=True)
    assert result.policy is not None
    assert Engine(result.policy).points() == ()
