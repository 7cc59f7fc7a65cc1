"""Connections become sessions."""

from __future__ import annotations

from dataclasses import replace

from sessionlayer.protocol.commands import (
    AdoptionRefused,
    CheckAdoption,
    PeerHeard,
    PeerSilent,
    SessionAdopted,
    SessionReleased,
)
from sessionlayer.protocol.values import Checked, Role
from tests.sessionlayer.protocol.pairs import mirrored
from tests.sessionlayer.protocol.playbook import CONNECTION, Playbook, only


def test_offers_of_both_sides_become_one_session_with_the_clients_id() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    play.take(1, play.sides[1].adopt([mirrored(CONNECTION)], play.now))
    wanted = play.deliver()
    assert wanted[0] == []
    (proposal,) = only(wanted[1], CheckAdoption).proposals
    checked = [Checked(session_id=proposal.session_id, reason=None)]
    adopted = only(play.take(1, play.sides[1].adoption_checked(checked)), SessionAdopted)
    assert only(play.deliver()[0], SessionAdopted).session_id == adopted.session_id
    assert play.wait(12.0, side=1) == [PeerSilent()]
    assert len(play.sides[0].records()) == len(play.sides[1].records()) == 1


def test_where_both_take_themselves_for_the_client_one_session_comes_of_it() -> None:
    play = Playbook()
    seen_there = replace(mirrored(CONNECTION), role=Role.CLIENT)
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    play.take(1, play.sides[1].adopt([seen_there], play.now))
    wanted = play.deliver()
    ((checking, check),) = [
        (side, c) for side in (0, 1) for c in wanted[side] if isinstance(c, CheckAdoption)
    ]
    checked = [Checked(session_id=p.session_id, reason=None) for p in check.proposals]
    adopted = only(play.take(checking, play.sides[checking].adoption_checked(checked)), SessionAdopted)
    assert only(play.deliver()[1 - checking], SessionAdopted).session_id == adopted.session_id
    play.wait(12.0, side=checking)
    play.deliver()
    (one,), (other,) = play.sides[0].records(), play.sides[1].records()
    assert (one.session_id, other.session_id) == (adopted.session_id,) * 2
    assert {one.connection.role, other.connection.role} == {Role.CLIENT, Role.SERVER}


def test_a_refused_offer_says_why() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    (proposal,) = only(play.deliver()[1], CheckAdoption).proposals
    results = [Checked(session_id=proposal.session_id, reason="the policy says never")]
    play.take(1, play.sides[1].adoption_checked(results))
    refused = only(play.deliver()[0], AdoptionRefused)
    assert refused == AdoptionRefused(connection=CONNECTION, reason="the policy says never")


def test_an_offer_is_repeated_and_given_up_after_a_while() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    refused = only(play.wait(10.1, side=0), AdoptionRefused)
    assert "does not answer" in refused.reason
    assert play.lose() > 10


def test_a_peer_that_takes_in_what_was_given_up_is_told() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    (proposal,) = only(play.deliver()[1], CheckAdoption).proposals
    only(play.wait(10.1, side=0), AdoptionRefused)
    play.deliver()
    checked = [Checked(session_id=proposal.session_id, reason=None)]
    only(play.take(1, play.sides[1].adoption_checked(checked)), SessionAdopted)
    assert only(play.deliver()[1], SessionReleased).session_id == proposal.session_id
    assert play.sides[0].records() == play.sides[1].records() == ()


def test_a_peer_whose_answer_was_lost_is_told_when_the_offer_is_given_up() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    (proposal,) = only(play.deliver()[1], CheckAdoption).proposals
    play.take(1, play.sides[1].adoption_checked([Checked(session_id=proposal.session_id, reason=None)]))
    play.lose()
    only(play.wait(10.1, side=0), AdoptionRefused)
    assert SessionReleased(session_id=proposal.session_id) in play.deliver()[1]
    assert play.sides[0].records() == play.sides[1].records() == ()


def test_a_session_that_the_peer_has_yet_to_end_is_not_taken_for_that_of_the_next_offer() -> None:
    play = Playbook()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    (proposal,) = only(play.deliver()[1], CheckAdoption).proposals
    play.take(1, play.sides[1].adoption_checked([Checked(session_id=proposal.session_id, reason=None)]))
    only(play.wait(10.1, side=0), AdoptionRefused)
    play.lose()
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    assert play.deliver()[0] == [PeerHeard()]  # with which session it has
    play.wait(1.0, side=0)
    ended, check = play.deliver()[1]
    assert ended == SessionReleased(session_id=proposal.session_id)
    assert isinstance(check, CheckAdoption)
    (anew,) = check.proposals
    play.take(1, play.sides[1].adoption_checked([Checked(session_id=anew.session_id, reason=None)]))
    assert only(play.deliver()[0], SessionAdopted).session_id == anew.session_id != proposal.session_id


def test_a_known_connection_keeps_its_session() -> None:
    play = Playbook()
    session_id = play.adopted()
    assert play.sides[0].adopt([CONNECTION], play.now) == ()
    play.restart(0, records=())
    play.take(0, play.sides[0].adopt([CONNECTION], play.now))
    wanted = play.deliver()
    assert wanted[1] == []
    assert only(wanted[0], SessionAdopted).session_id == session_id


def test_a_connection_whose_offer_is_being_checked_is_not_offered_as_well() -> None:
    play = Playbook()
    play.take(1, play.sides[1].adopt([mirrored(CONNECTION)], play.now))
    (proposal,) = only(play.deliver()[0], CheckAdoption).proposals
    assert play.sides[0].adopt([CONNECTION], play.now) == ()
    play.take(0, play.sides[0].adoption_checked([Checked(session_id=proposal.session_id, reason=None)]))
    assert only(play.deliver()[1], SessionAdopted).session_id == proposal.session_id
