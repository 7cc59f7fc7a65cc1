from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from monitors.settings import enabled, read
from monitors.spec import SettingsError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Alarm(Struct, frozen=True):
    below: int = 0


class Settings(Struct, frozen=True, kw_only=True):
    every_s: Annotated[float, Meta(ge=0.1)] = 2.0
    starts_on: Annotated[int, Meta(ge=1, le=28)] = 1
    links: tuple[str, ...] = ()
    mode: Literal["fast", "slow"] = "slow"
    colour: Colour = Colour.RED
    quiet: bool = False
    limit: int | None = None
    names: dict[str, str] = {}
    alarm: Alarm = Alarm()
    half: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    word: Annotated[str, Meta(pattern="^[a-z]+$")] = "a"

    def __post_init__(self) -> None:
        if self.quiet and self.limit:
            raise ValueError("`quiet` and `limit` exclude each other")


class Needy(Struct, frozen=True):
    url: str


def test_a_table_becomes_values_and_what_is_left_out_has_its_default() -> None:
    settings = read({"every_s": 5, "links": ["wwan*"], "alarm": {"below": 3}, "colour": "blue"}, Settings)
    assert settings == Settings(every_s=5, links=("wwan*",), alarm=Alarm(3), colour=Colour.BLUE)


def test_the_key_of_the_host_reaches_no_monitor() -> None:
    assert read({"enabled": True}, Settings) == Settings()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"every": 1}, "`every` is no setting of it; did you mean `every_s`?"),
        ({"every_s": "5 s"}, '`every_s` is "5 s"; expected a number of at least 0.1'),
        ({"every_s": 0}, "`every_s` is 0; expected a number of at least 0.1"),
        ({"starts_on": 31}, "`starts_on` is 31; expected a whole number from 1 to 28"),
        ({"links": "wwan*"}, '`links` is "wwan*"; expected a list, each item a text'),
        ({"links": [1]}, "`links` is [1]; expected a list, each item a text"),
        ({"mode": "medium"}, '`mode` is "medium"; expected "fast" or "slow"'),
        ({"colour": "green"}, '`colour` is "green"; expected "red" or "blue"'),
        ({"quiet": 1}, "`quiet` is 1; expected true or false"),
        ({"limit": "x"}, '`limit` is "x"; expected a whole number'),
        ({"names": {"a": 1}}, '`names` is {"a": 1}; expected a table, each value a text'),
        (
            {"alarm": {"bellow": 1}},
            "in its table `alarm`: `bellow` is no setting of it; did you mean `below`?",
        ),
        ({"alarm": 4}, "`alarm` is 4; expected a table with the keys `below`"),
        ({"half": 1.0}, "`half` is 1.0; expected a number above 0 and below 1"),
        ({"word": "A"}, '`word` is "A"; expected a text that matches "^[a-z]+$"'),
        ({"quiet": True, "limit": 3}, "`quiet` and `limit` exclude each other"),
    ],
)
def test_a_mistake_is_told_with_what_was_given_and_what_is_expected(
    table: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(table, Settings)
    assert str(caught.value) == message


def test_a_key_that_resembles_none_is_told_which_there_are() -> None:
    with pytest.raises(SettingsError, match="`zzz` is no setting of it; it has `url`"):
        read({"zzz": 1}, Needy)


def test_a_missing_key_is_told() -> None:
    with pytest.raises(SettingsError, match="`url` is missing; give a text"):
        read({}, Needy)


@pytest.mark.parametrize(
    ("table", "outcome"), [({}, True), ({"enabled": True}, True), ({"enabled": False}, False)]
)
def test_a_monitor_runs_unless_it_is_switched_off(table: dict[str, Any], outcome: bool) -> None:
    assert enabled(table) is outcome


def test_a_switch_is_true_or_false() -> None:
    with pytest.raises(SettingsError, match='`enabled` is "no"; expected true or false'):
        enabled({"enabled": "no"})
