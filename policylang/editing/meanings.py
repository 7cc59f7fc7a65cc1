"""What the words of the language mean, each in a sentence or two: what an editor shows.

Source: ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a word is for.

    Attributes:
        form: How it is written, with everything that belongs to it.
        text: What it does, in Markdown.
    """

    form: str
    text: str


STATEMENT_MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "adopt": Meaning(
            "adopt | adopt never",
            "Whether connections of programs that know nothing of Migrate are made into sessions, "
            "and so can be moved. Without this statement they are not.",
        ),
        "define": Meaning(
            "define NAME = VALUE, ...",
            "Name a set of addresses, ports, users, hosts or patterns, to be used as `$NAME` from here on, "
            "in files that are read later too.",
        ),
        "delay": Meaning(
            "delay DURATION",
            "How long to wait before acting on a link that was lost. Without this statement: `0s`.",
        ),
        "expire": Meaning(
            "expire after DURATION | expire never",
            "When a suspended session is given up. Of the system's, the user's and the application's policy "
            "the shortest time holds.",
        ),
        "ignore": Meaning(
            "ignore",
            "Do not tell the program that its session was suspended, resumed or moved. "
            "`notify` takes it back.",
        ),
        "include": Meaning(
            'include "GLOB"',
            "Read other files here, in the order of their names, as if they stood in this place. "
            "The pattern is relative to this file.",
        ),
        "margin": Meaning(
            "margin N",
            "By how much another link must score higher than the one in use before the session moves. "
            "Without this statement: 1.",
        ),
        "migrate": Meaning(
            "migrate never | migrate always",
            "`never` leaves the session alone: it is neither moved nor suspended, whatever the scores. "
            "`always` takes an earlier `never` back.",
        ),
        "notify": Meaning(
            "notify",
            "Tell the program that its session was suspended, resumed or moved, as is usual. "
            "It takes an earlier `ignore` back.",
        ),
        "on": Meaning(
            "on KEY [not] VALUE, ... [KEY ...] BODY [else BODY]",
            "The body holds for a session one of whose connections satisfies all the conditions. "
            "What nobody knows makes a condition false, with and without `not`.",
        ),
        "resume": Meaning(
            "resume eager | resume lazy",
            "When a program is asked for its continuation: as soon as its session is suspended, "
            "or only when it is needed.",
        ),
        "score-interface": Meaning(
            "score-interface PATTERN N | +N | -N | never | avoid",
            "The score of the links that match becomes N, or changes by it; the last statement that applies "
            "wins. `never` rules them out, and `avoid` makes them a last resort, where there is no other; no "
            "number lifts either. The pattern is a shell glob, or `current`.",
        ),
        "score-server": Meaning(
            "score-server PATTERN N | +N | -N | never",
            "The score of the candidate servers that match, by name or address, in the same manner as "
            "`score-interface`.",
        ),
        "settle": Meaning(
            "settle DURATION",
            "For how long without a break another link must be the better one before the session moves. "
            "A link that can't be used any more is left at once. Without this statement: `2s`.",
        ),
        "suspend": Meaning(
            "suspend after DURATION | suspend never",
            "How long to wait without a usable link before the session is suspended. "
            "Without this statement: `0s`.",
        ),
        "when": Meaning(
            "when FACT OP VALUE [for DURATION] [until FACT OP VALUE [for DURATION]] BODY [else BODY]",
            "The body holds while a measurement compares so: from when it has done so for that long, "
            "until the other threshold has held for its own time. A fact that is not known makes it false.",
        ),
    }
)
"""The words that begin a statement."""

KEY_MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "any-port": Meaning("any-port PORTS", "The remote port or the local one: numbers, ranges, services."),
        "app": Meaning("app NAMES", "The program, by its path or the last part of it; globs are allowed."),
        "l-port": Meaning("l-port PORTS", "The local port: numbers, ranges, services."),
        "local-ip": Meaning(
            "local-ip PREFIXES", "The local address that the connection had when it was made."
        ),
        "port": Meaning("port PORTS", "The remote port: numbers, ranges, services."),
        "proto": Meaning("proto tcp | udp", "The protocol."),
        "remote-host": Meaning(
            "remote-host NAMES",
            "The peer's host name, where it is known; globs are allowed, case does not matter.",
        ),
        "remote-ip": Meaning("remote-ip PREFIXES", "The peer's address. Host bits in a prefix do not count."),
        "role": Meaning("role client | server", "Which end this host is: the client opened the connection."),
        "session": Meaning("session NAMES", "The session's name; globs are allowed."),
        "user": Meaning("user NAMES", "The user whose program it is; globs are allowed."),
    }
)
"""The words after `on`."""

WORD_MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "current": Meaning(
            "current", "The link, or for `score-server` the server, that the session uses now."
        ),
        "else": Meaning("else BODY", "Holds where the `on` or `when` before it does not."),
        "for": Meaning("for DURATION", "For how long the comparison must have been true without a break."),
        "monitor-policy": Meaning(
            "monitor-policy { ... }",
            "A block of statements. They are read from top to bottom, file after file: "
            "the last that applies wins.",
        ),
        "not": Meaning("not VALUE, ...", "None of the values may match."),
        "until": Meaning(
            "until FACT OP VALUE [for DURATION]",
            "The other threshold: what was switched on goes off when this has held, "
            "so that it does not flap. "
            "It also goes off when the fact is no longer known.",
        ),
    }
)
"""The words that stand elsewhere and mean the same everywhere."""

SUBJECT_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "host": "this host",
        "link": "each link by itself",
        "path": "each link towards the session's peer",
        "session": "the session",
        "connection": "one of the session's connections",
    }
)
"""What a fact is judged on, by the value of its subject."""


def meaning_of(word: str) -> Meaning | None:
    """Return what a word of the language means; ``None`` for one whose statement says what it means."""
    return STATEMENT_MEANINGS.get(word) or KEY_MEANINGS.get(word) or WORD_MEANINGS.get(word)
