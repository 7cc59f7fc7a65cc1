"""Policies as texts, made up at random: every statement, several layers, sets, included files.

Drawn from a `random.Random`, so that a seed is a case; Hypothesis gives one of its own where it is to shrink.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from monitors.facts import STANDARD_FACTS, Fact, FactTable, FactType, Subject
from policylang import load_policy
from policylang.ast import Layer, Policy
from policylang.loader import PolicyFile

QUALITY = Fact(
    name="lab.quality",
    type=FactType.NUMBER,
    unit="%",
    subject=Subject.LINK,
    summary="a plugin's",
    monitor="lab",
)
MODE = Fact(
    name="lab.mode", type=FactType.TEXT, unit="", subject=Subject.SESSION, summary="a plugin's", monitor="lab"
)
TABLE = FactTable.of([*STANDARD_FACTS.values(), QUALITY, MODE])

FACTS: dict[Subject, dict[str, dict[str, float | bool | str]]] = {
    Subject.HOST: {
        "hour": {"1": 1.0, "2": 2.0, "3": 3.0},
        "on-battery": {"yes": True, "no": False},
        "weekday": {"monday": "monday", "friday": "friday"},
    },
    Subject.LINK: {
        "metered": {"yes": True, "no": False},
        "wifi.signal": {"-80dbm": -80.0, "-70dbm": -70.0, "-60dbm": -60.0},
        "wifi.ssid": {'"Home 5"': "Home 5", "cafe": "cafe"},
        "lab.quality": {"10%": 10.0, "50%": 50.0, "90%": 90.0},
        "carrier": {"yes": True, "no": False},
        "operstate": {"up": "up", "down": "down"},
        "addresses": {"0": 0.0, "1": 1.0, "2": 2.0},
    },
    Subject.PATH: {
        "rtt": {"250ms": 0.25, "500ms": 0.5, "1s": 1.0},
        "loss": {"0%": 0.0, "5%": 5.0, "50%": 50.0},
    },
    Subject.SESSION: {
        "keepalive-age": {"1s": 1.0, "2s": 2.0, "1m": 60.0},
        "lab.mode": {"quick": "quick", "slow": "slow"},
    },
    Subject.CONNECTION: {
        "retransmits": {"1": 1.0, "2": 2.0, "3": 3.0},
        "rto": {"1s": 1.0, "2s": 2.0, "4s": 4.0},
    },
}
"""Facts by subject, with the values that are compared and measured: as written and as known."""

OF_LINKS = (Subject.LINK, Subject.PATH)
DURATIONS = ("0s", "500ms", "1s", "2s", "4s")
PATTERNS = ("*", "eth*", "eth0:1", "ppp*", "eth[01]", "wlan0", "current", "six*", "$LINKS", '"eth?"')
SERVERS = ("a.example.org", "b.example.org", "192.0.2.9", "2001:db8::9")
SERVER_PATTERNS = ("*", "*.example.org", "192.0.2.*", "current", "$SERVERS", '"?.example.org"')
AMOUNTS = ("0", "1", "2", "3", "5", "1", "2", "3", "+3", "-4", "+1", "never", "avoid", "avoid")
CONDITIONS = (
    "proto tcp",
    "proto udp",
    "port 22",
    "port http, ssh",
    "port not 80",
    "port $PORTS",
    "port not $PORTS, 80",
    "l-port 3001-3010",
    "l-port 3005",
    "any-port 22, 3003",
    "remote-ip 18.31.0.4/24",
    "remote-ip 18.31.0.0/16, 192.0.2.9",
    "remote-ip not $NETS",
    "remote-ip 2001:db8:1::/48",
    "remote-ip $NETS",
    "local-ip 10.0.0.0/8",
    "remote-host *.MIT.edu",
    "remote-host not www.mit.edu., example.org",
    "user ann",
    "user not a*",
    "user $PEOPLE",
    "user not $NAMES",
    "app ssh*",
    "app not ssh",
    "app /usr/bin/*",
    "session a",
    "session not [ab]",
    "role client",
    "role server",
)
SETS = {
    "$PORTS": "define PORTS = ssh, 8000-8099",
    "$NETS": "define NETS = 18.31.0.0/16, 2001:db8:1::/48",
    "$PEOPLE": "define PEOPLE = ann, b*",
    "$LINKS": 'define LINKS = eth0, "ppp*"',
    "$SERVERS": "define SERVERS = b.example.org, 192.0.*",
    "$NAMES": "define PEOPLE_TOO = ann, b* define NAMES = $PEOPLE_TOO, carol",
}

_HOLD = re.compile(r"for [0-9]+m?s")


@dataclass(frozen=True, slots=True)
class Texts:
    """A policy as files: whose each is, its name and its statements; included files have no layer."""

    files: tuple[tuple[Layer | None, str, tuple[str, ...]], ...]

    def __str__(self) -> str:
        return "\n".join(f"--- {name} ({layer})\n" + "\n".join(body) for layer, name, body in self.files)

    def load(self) -> Policy:
        """Parse and check the files, which must be without a mistake."""
        everything = str(self)
        sets = [define for name, define in SETS.items() if name in everything]
        content = {
            Path("/policy", name): _wrapped([*sets, *body] if number == 0 else body)
            for number, (_, name, body) in enumerate(self.files)
        }
        files = [
            PolicyFile(path=Path("/policy", name), layer=layer) for layer, name, _ in self.files if layer
        ]
        result = load_policy(files, facts=lambda: TABLE, read=content.__getitem__)
        assert result.policy is not None, (str(self), result.diagnostics)
        return result.policy


def _wrapped(body: Sequence[str]) -> bytes:
    return "\n".join(("monitor-policy {", *body, "}")).encode()


def policy_texts(random: Random) -> Texts:
    """Return a policy: one to three files, sometimes one that another includes."""
    layers = [layer for layer in Layer if random.random() < 0.4] or [Layer.SYSTEM]
    files: list[tuple[Layer | None, str, tuple[str, ...]]] = []
    for layer in layers:
        body = [statement(random) for _ in range(random.randint(1, 7 // len(layers) + 1))]
        files.append((layer, f"{layer.value}.policy", (*body, _when(random, 1, links=False))))
    if random.random() < 0.2:
        last, name, statements = files[-1]
        include = random.choice(
            ['include "more.policy"', 'on proto tcp { include "more.policy" } else margin 2']
        )
        files[-1] = (last, name, (*statements, include))
        files.append((None, "more.policy", tuple(statement(random) for _ in range(2))))
    return Texts(tuple(files))


def edited(random: Random, texts: Texts) -> Texts:
    """Return a policy as after an editor's save: other times, or statements gone, changed and new."""
    times_alone = random.random() < 0.5
    files = (
        (layer, name, tuple(_other_times(random, body) if times_alone else _edited(random, body)))
        for layer, name, body in texts.files
    )
    return Texts(tuple(files))


def _edited(random: Random, body: Sequence[str]) -> list[str]:
    kept = [text for text in body if "include" in text or random.random() < 0.8]
    if random.random() < 0.5:
        kept = _other_times(random, kept)
    if random.random() < 0.4:
        kept.append(statement(random))
    return kept


def _other_times(random: Random, body: Sequence[str]) -> list[str]:
    return [_HOLD.sub(lambda _: f"for {random.choice(DURATIONS)}", text) for text in body]


def statement(random: Random, depth: int = 0, links: bool = False) -> str:
    """Return a statement; ``links`` if it stands under a fact about links, where only scores may."""
    kind = random.random()
    if depth < 3 and kind < 0.22:
        conditions = " ".join(random.sample(CONDITIONS, random.choice((1, 1, 1, 2))))
        return _conditional(random, f"on {conditions}", depth, links)
    if depth < 3 and kind < 0.5:
        return _when(random, depth, links)
    if links or kind < 0.75:
        score = f"score-interface {random.choice(PATTERNS)} {random.choice(AMOUNTS)}"
        # Which no policy may say.
        return score.replace("current never", "current -4").replace("current avoid", "current -1")
    return _plain(random)


def _plain(random: Random) -> str:
    duration = random.choice(DURATIONS)
    return random.choice(
        (
            "migrate always",
            random.choice(("migrate never", "migrate always")),
            f"margin {random.randint(0, 3)}",
            f"settle {duration}",
            f"settle {duration}",
            f"delay {duration}",
            f"suspend after {duration}",
            random.choice((f"suspend after {duration}", "suspend never")),
            random.choice(("adopt", "adopt never")),
            f"expire after {duration}",
            random.choice((f"expire after {duration}", "expire never")),
            random.choice(("resume eager", "resume lazy")),
            random.choice(("notify", "ignore")),
            f"score-server {random.choice(SERVER_PATTERNS)} {random.choice(AMOUNTS[:-2])}",
        )
    )


def _when(random: Random, depth: int, links: bool) -> str:
    subject = random.choice((*Subject, Subject.LINK))
    head = f"when {_threshold(random, subject)}"
    if random.random() < 0.4:
        head += f" until {_threshold(random, subject)}"
    return _conditional(random, head, depth, links or subject in OF_LINKS)


def _threshold(random: Random, subject: Subject) -> str:
    # The first fact of a subject is drawn more often: two thresholds then speak of the same.
    names = list(FACTS[subject])
    fact = random.choice((names[0], *names))
    numbers = not isinstance(next(iter(FACTS[subject][fact].values())), bool | str)
    operator = random.choice(("<", "<=", ">", ">=", "=", "!=") if numbers else ("=", "=", "!="))
    hold = f" for {random.choice(DURATIONS)}" if random.random() < 0.5 else ""
    return f"{fact} {operator} {random.choice(list(FACTS[subject][fact]))}{hold}"


def _conditional(random: Random, head: str, depth: int, links: bool) -> str:
    text = f"{head} {_body(random, depth, links)}"
    return f"{text} else {_body(random, depth, links)}" if random.random() < 0.35 else text


def _body(random: Random, depth: int, links: bool) -> str:
    count = random.choice((1, 1, 2))
    return f"{{ {'; '.join(statement(random, depth + 1, links) for _ in range(count))} }}"
