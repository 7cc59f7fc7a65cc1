from __future__ import annotations

import pytest

from monitors.facts import Subject
from policylang.editing import hover
from policylang.editing.hover import MAX_LISTED
from policylang.editing.meanings import KEY_MEANINGS, STATEMENT_MEANINGS, SUBJECT_MEANINGS, WORD_MEANINGS
from policylang.expected import KEYS, MODIFIERS, RESERVED, STATEMENTS
from tests.policylang.editing.around import around, cursor


def test_every_word_of_the_language_has_a_meaning() -> None:
    assert set(STATEMENT_MEANINGS) == STATEMENTS
    assert set(KEY_MEANINGS) == KEYS
    assert set(WORD_MEANINGS) | STATEMENTS == RESERVED | {"current", "for", "not", "until"}
    assert set(SUBJECT_MEANINGS) == {subject.value for subject in Subject}
    for word, meaning in {**STATEMENT_MEANINGS, **KEY_MEANINGS}.items():
        assert meaning.form.startswith(word)
        assert meaning.text.endswith(".")


@pytest.mark.parametrize(
    ("marked", "word", "says"),
    [
        ("monitor|-policy { }", "monitor-policy", "read from top to bottom"),
        ("monitor-policy { |settle 2s }", "settle", "the better one before the session moves"),
        ("monitor-policy { on |port ssh margin 1 }", "port", "The remote port"),
        ("monitor-policy { on port s|sh margin 1 }", "ssh", "`ssh` is port 22"),
        ("monitor-policy { on l-port 3001-|3010 margin 1 }", "3001-3010", "ports 3001 to 3010: 10 of them"),
        ("monitor-policy { on user |port port ssh margin 1 }", "port", None),
        ("monitor-policy { on user a port |port margin 1 }", "port", None),
        ("monitor-policy { on port |nonsense margin 1 }", "nonsense", None),
        (
            "monitor-policy { on remote-ip 18.31.0.4|/24 margin 1 }",
            "18.31.0.4/24",
            "18.31.0.0 to 18.31.0.255, 256 addresses\n\n`18.31.0.4/24` has bits beyond its prefix",
        ),
        ("monitor-policy { on remote-ip |2001:db8::/32 margin 1 }", "2001:db8::/32", "2^96 addresses"),
        ("monitor-policy { on remote-ip |10.0.0.1 margin 1 }", "10.0.0.1", "the address 10.0.0.1"),
        (
            "monitor-policy { when r|tt > 1s score-interface * 1 }",
            "rtt",
            "each link towards the session's peer",
        ),
        (
            "monitor-policy { when r|tt > 1s score-interface * 1 }",
            "rtt",
            "a number in `d`, `h`, `m`, `ms` or `s`",
        ),
        (
            "monitor-policy { when |wifi.ssid = x score-interface * 1 }",
            "wifi.ssid",
            "No installed monitor measures",
        ),
        ("monitor-policy { when metered = yes |until metered = no margin 1 }", "until", "does not flap"),
        ("monitor-policy { score-interface |eth* 1 }", "eth*", "matches `eth0` on this host"),
        ("monitor-policy { score-interface |ppp* 1 }", "ppp*", "matches none"),
        ("monitor-policy { score-server |ppp* 1 }", "ppp*", None),
        ("monitor-policy { migrate ne|ver }", "never", "migrate never | migrate always"),
        ("monitor-policy { score-interface |never 1 }", "never", "matches none"),
        ("monitor-policy { # |settle\n }", "settle", None),
        ("monitor-policy { settel |2s on |".replace("on |", "") + " }", "2s", None),
        ("monitor-policy { nonsense { } on |proto tcp ", "proto", "The protocol."),
    ],
)
def test_hover(marked: str, word: str, says: str | None) -> None:
    text, offset = cursor(marked)
    shown = hover(text, offset, around(text))
    if says is None:
        assert shown is None
        return
    assert shown is not None
    assert says in shown.markdown
    assert text[shown.start : shown.end] == word


def test_a_set_of_another_file() -> None:
    text, offset = cursor("monitor-policy { on user $of|fice margin 1 }")
    shown = hover(text, offset, around(text, {"sets.policy": "# sets\ndefine office = ann, bob"}))
    assert shown is not None
    assert shown.markdown == "the set `$office`: `ann`, `bob`\n\ndefined at sets.policy:2"
    assert text[shown.start : shown.end] == "$office"


def test_a_long_set_is_cut_and_a_missing_one_is_named() -> None:
    listed = ", ".join(map(str, range(MAX_LISTED + 5)))
    text = f"define many = {listed} monitor-policy {{ on port $few margin 1 }}"
    many = hover(text, 8, around(text))
    few = hover(text, text.index("few"), around(text))
    assert many is not None
    assert few is not None
    assert f"`{MAX_LISTED - 1}` and 5 more" in many.markdown
    assert few.markdown == "the set `$few` is not defined"


def test_modifiers_never_surprise() -> None:
    """Each word that means something inside of statements is explained wherever it may stand."""
    places = {
        "after": "suspend after 1s",
        "always": "migrate always",
        "avoid": "score-interface * avoid",
        "current": "score-interface current 1",
        "eager": "resume eager",
        "for": "when hour = 3 for 1s margin 1",
        "lazy": "resume lazy",
        "never": "adopt never",
        "not": "on user not a margin 1",
        "until": "when hour = 3 until hour = 4 margin 1",
    }
    assert set(places) == MODIFIERS
    for word, statement in places.items():
        text = f"monitor-policy {{ {statement} }}"
        assert hover(text, text.index(f" {word} ") + 1, around(text)) is not None, word
