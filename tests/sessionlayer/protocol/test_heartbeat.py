"""Signs of life: of the peer, and of paths."""

from __future__ import annotations

from sessionlayer.protocol.commands import PathFailed, PathValidated, PeerHeard, PeerSilent
from sessionlayer.protocol.transitions import AssociationState
from tests.sessionlayer.protocol.playbook import HOMES, NEW, Playbook, only


def test_a_silent_peer_is_noticed_within_three_seconds_and_heard_again() -> None:
    play = Playbook()
    play.wait(2.5, side=0)
    play.lose()
    assert play.wait(0.6, side=0) == [PeerSilent()]
    silent = play.sides[0].state
    play.wait(1.0, side=0)
    assert PeerHeard() in play.deliver()[0]
    assert (silent, play.sides[0].state) == (AssociationState.SILENT, AssociationState.HEARD)


def test_a_path_is_validated_without_steering() -> None:
    play = Playbook()
    path = play.path(NEW, HOMES[1])
    play.take(0, play.sides[0].validate_path(path, play.now))
    play.now += 0.030
    validated = only(play.deliver()[0], PathValidated)
    assert (validated.path, round(validated.rtt_s, 3)) == (path, 0.030)
    assert play.sides[1].path.remote_address == HOMES[0]


def test_a_path_that_leads_nowhere_fails_after_a_second() -> None:
    play = Playbook()
    play.take(0, play.sides[0].validate_path(play.path(NEW, HOMES[1]), play.now))
    assert only(play.wait(1.01, side=0), PathFailed).path.local_address == NEW
    play.deliver()
    assert play.wait(0.5, side=0) == []


def test_a_heartbeat_over_another_path_steers_and_an_overtaken_one_does_not() -> None:
    play = Playbook()
    play.wait(0.0, side=0)
    overtaken = play.in_flight.pop()
    play.sides[0].use_path(play.path(NEW, HOMES[1]))
    play.wait(1.0, side=0)
    play.deliver()
    assert play.sides[1].path.remote_address == NEW
    play.in_flight.append(overtaken)
    play.deliver()
    assert play.sides[1].path.remote_address == NEW
