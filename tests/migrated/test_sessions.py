"""The places of a session: what keeps a port quiet that its peer may go to, early or late."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from migrated.sessions import PLACES_MAX, Places

HERE, THERE = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def places() -> Iterator[Places]:
    made = Places()
    yield made
    made.free()


def test_a_place_that_was_given_up_is_asked_for_again_with_the_same_port(places: Places) -> None:
    port = places.reserve(HERE)
    places.reserve(THERE)
    assert places.reserve(HERE) == port


def test_a_place_that_was_given_up_goes_on_to_drop_what_comes_in(places: Places) -> None:
    port = places.reserve(HERE)
    places.reserve(THERE)
    with socket.socket() as late:
        late.settimeout(0.05)
        with pytest.raises(TimeoutError):
            late.connect((HERE, port))  # would be refused at once where nobody listens


def test_a_place_that_could_not_be_taken_is_reserved_anew(places: Places) -> None:
    places.reserve(HERE)
    reservation = places.of(HERE)
    assert reservation is not None
    reservation.close()
    places.reserve(HERE)
    again = places.of(HERE)
    assert again is not None
    assert again.fileno() >= 0


def test_as_many_places_are_kept_as_allowed_those_asked_for_last(places: Places) -> None:
    addresses = [f"127.0.0.{number}" for number in range(1, PLACES_MAX + 2)]
    for address in [*addresses[:-1], addresses[0], addresses[-1]]:
        places.reserve(address)
    assert [address for address in addresses if places.of(address) is None] == [addresses[1]]


def test_freed_places_are_free(places: Places) -> None:
    port = places.reserve(HERE)
    places.free()
    assert places.of(HERE) is None
    with socket.socket() as other:
        other.bind((HERE, port))
