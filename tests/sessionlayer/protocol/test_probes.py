"""Single probes: what is answered is measured, what is lost is lost, and nothing else changes."""

from __future__ import annotations

import random

import pytest

from sessionlayer.protocol.commands import Command, PathValidated, PeerHeard, PeerSilent, ProbeAnswered
from sessionlayer.protocol.limits import HEARTBEAT_S, PROBES_MAX, SILENCE_S
from tests.sessionlayer.protocol.playbook import HOMES, NEW, OTHER_NEW, Playbook, only


def probed(play: Playbook, local: str = NEW) -> int:
    number, commands = play.sides[0].probe(play.path(local, HOMES[1]), play.now)
    assert play.take(0, commands) == []
    return number


def answered(commands: list[Command]) -> list[int]:
    return [command.number for command in commands if isinstance(command, ProbeAnswered)]


def test_an_answer_says_which_probe_it_is_for_and_how_long_it_took() -> None:
    play = Playbook()
    first, second = probed(play), probed(play, OTHER_NEW)
    play.now += 0.030
    one, other = (command for command in play.deliver()[0] if isinstance(command, ProbeAnswered))
    assert [(a.number, a.path.local_address, round(a.rtt_s, 3)) for a in (one, other)] == [
        (first, NEW, 0.030),
        (second, OTHER_NEW, 0.030),
    ]


def test_a_probe_steers_nothing_at_either_end() -> None:
    play = Playbook()
    probed(play)
    play.deliver()
    assert play.sides[1].path.remote_address == HOMES[0]
    assert play.sides[0].path.local_address == HOMES[0]


def test_an_answer_counts_once() -> None:
    play = Playbook()
    number = probed(play)
    (question,) = play.in_flight
    play.in_flight.append(question)  # repeated on the way, which the receiver drops
    assert answered(play.deliver()[0]) == [number]


def test_a_lost_probe_is_neither_repeated_nor_told_of() -> None:
    play = Playbook()
    probed(play)
    quiet = Playbook()
    for each in (play, quiet):
        each.lose()
        each.wait(0.0, side=0)  # the heartbeat that was due
        each.deliver()
    assert play.wait(HEARTBEAT_S - 0.01, side=0) == []
    assert play.sides[0].next_deadline() == quiet.sides[0].next_deadline()


def test_answers_to_probes_and_checks_of_a_path_are_told_apart() -> None:
    play = Playbook()
    path = play.path(NEW, HOMES[1])
    play.take(0, play.sides[0].validate_path(path, play.now))
    number = probed(play)
    told = play.deliver()[0]
    assert (only(told, PathValidated).path, answered(told)) == (path, [number])


def test_an_answer_shows_that_a_silent_peer_is_there() -> None:
    play = Playbook()
    assert play.wait(SILENCE_S + 0.1, side=0) == [PeerSilent()]
    play.lose()
    number = probed(play)
    play.now += 0.2
    told = play.deliver()[0]
    assert (PeerHeard() in told, answered(told)) == (True, [number])
    assert play.sides[0].heard_at == play.now


def test_of_too_many_probes_the_oldest_is_forgotten() -> None:
    play = Playbook()
    numbers = [probed(play) for _ in range(PROBES_MAX + 1)]
    assert answered(play.deliver()[0]) == numbers[1:]


@pytest.mark.parametrize("seed", range(5))
def test_over_a_bad_link_just_what_was_lost_stays_unanswered(seed: int) -> None:
    play, rng = Playbook(), random.Random(seed)
    sent, expected, heard = 0, set[int](), set[int]()
    for _ in range(400):
        number = probed(play)
        sent += 1
        play.now += 0.01
        if rng.random() < 0.3:
            play.in_flight.clear()  # the question
        else:
            while play.in_flight and play.in_flight[0][0] == 1:
                _, datagram, path = play.in_flight.pop(0)
                play.take(1, play.sides[1].receive(datagram, path, play.now))
            if rng.random() < 0.3:
                play.in_flight.clear()  # the answer
            else:
                expected.add(number)
        heard |= set(answered(play.deliver()[0]))
    assert heard == expected
    assert 0 < len(heard) < sent
