from __future__ import annotations

import pytest

from monitors.facts import STANDARD_FACTS
from policylang.editing import Kind, complete
from policylang.expected import KEYS, STATEMENTS
from tests.policylang.editing.around import around, cursor

SETS = "define office = ann define lab = 10.0.0.0/8 "
IN_SETS = {"$office", "$lab"}


@pytest.mark.parametrize(
    ("marked", "offered"),
    [
        ("|", {"monitor-policy", "define", "include"}),
        ("mon|", {"monitor-policy", "define", "include"}),
        ("monitor-policy { | }", STATEMENTS),
        ("monitor-policy { margin 1 sc| }", STATEMENTS),
        ("monitor-policy { on | }", KEYS),
        ("monitor-policy { on proto tcp po|", STATEMENTS | KEYS),
        ("monitor-policy { on proto tcp { margin 1 } |", STATEMENTS | {"else"}),
        ("monitor-policy { on proto tcp margin 1 ; |", STATEMENTS),
        ("monitor-policy { on proto |", {"tcp", "udp", "not"}),
        ("monitor-policy { on proto tcp, u|", {"tcp", "udp"}),
        ("monitor-policy { on role |", {"client", "server", "not"}),
        ("monitor-policy { on port |", {"http", "ssh", "sip", "not"}),
        ("monitor-policy { on user |", {"not"}),
        ("monitor-policy { on user port port |", {"http", "ssh", "sip", "not"}),
        ("monitor-policy { when | }", set(STANDARD_FACTS)),
        ("monitor-policy { when rtt | }", {"<", "<=", "=", "!=", ">=", ">"}),
        ("monitor-policy { when metered | }", {"=", "!="}),
        ("monitor-policy { when metered = | }", {"yes", "no", "true", "false"}),
        ("monitor-policy { when weekday != s| }", set(STANDARD_FACTS["weekday"].choices)),
        ("monitor-policy { when rtt > | }", set()),
        ("monitor-policy { when rtt > 30| }", {"30ms", "30s", "30m", "30h", "30d"}),
        ("monitor-policy { when wifi.signal < -75d| }", {"-75dbm"}),
        ("monitor-policy { when hour > 2| }", set()),
        ("monitor-policy { when rtt > 1s for 5| }", {"5ms", "5s", "5m", "5h", "5d"}),
        ("monitor-policy { settle 1.5| }", {"1.5ms", "1.5s", "1.5m", "1.5h", "1.5d"}),
        ("monitor-policy { expire | }", {"after", "never"}),
        ("monitor-policy { resume | }", {"eager", "lazy"}),
        ("monitor-policy { score-interface | }", {"*", "current", "eth0", "wlan0"}),
        ("monitor-policy { score-interface e|th* 5 }", {"*", "current", "eth0", "wlan0"}),
        ("monitor-policy { score-interface eth0 | }", {"avoid", "never"}),
        ("monitor-policy { score-server store | }", {"never"}),
        ("monitor-policy { score-server | }", {"*", "current"}),
        ("monitor-policy { settel 2s on | }", KEYS),
        ("monitor-policy { on proto tcp # on |", set()),
        ('include "a|', set()),
        ('include "a|"', set()),
    ],
)
def test_what_is_offered(marked: str, offered: set[str]) -> None:
    text, offset = cursor(marked)
    assert {one.text for one in complete(text, offset, around(text))} == offered


@pytest.mark.parametrize(
    "rest",
    [
        "monitor-policy { on user $| }",
        "monitor-policy { on user not ann, $o| }",
        "monitor-policy { score-interface |",
        "define more = |",
    ],
)
def test_sets_are_offered_where_one_can_stand(rest: str) -> None:
    text, offset = cursor(SETS + rest)
    assert {one.text for one in complete(text, offset, around(text)) if one.kind is Kind.SET} == IN_SETS


def test_the_word_that_was_begun_is_replaced() -> None:
    text, offset = cursor("monitor-policy { on user $of|fice }")
    assert {text[one.start : offset] for one in complete(text, offset, around(SETS))} == {"$of"}


def test_offers_say_what_they_are() -> None:
    text, offset = cursor("monitor-policy { when | }")
    offers = {one.text: one for one in complete(text, offset, around(text))}
    assert offers["rtt"].detail == "the round-trip time to the peer through the link"
    assert offers["wifi.ssid"].detail.endswith("(not measured here)")
    text, offset = cursor("monitor-policy { on port | }")
    offers = {one.text: one for one in complete(text, offset, around(text))}
    assert offers["ssh"].detail == "port 22"
