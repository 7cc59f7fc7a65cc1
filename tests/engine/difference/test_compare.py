"""A difference is found if and only if the engine decides something differently."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Decision, Engine, SessionDescription
from engine.difference import Difference, TooComplexError, compare
from policylang import parse_policy
from policylang.ast import Policy
from tests.engine import build
from tests.engine.difference.confirm import can_be_staged, seen
from tests.engine.difference.rewriting import rewritten
from tests.engine.generated import SERVERS, Texts, edited, policy_texts
from tests.engine.generated_run import STRANGER, plain
from tests.engine.generated_steps import Step, case

SEEDS = st.integers(0, 1 << 32)
LIMIT = 3000
ORDERED = "on user ann migrate always else on port 22 migrate never"
UNKNOWN_IS_FREE = 'on user "*" migrate never'
_PAST = re.compile(r" until [^{]*(?= \{)| for [0-9]+m?s")


def policy(text: str) -> Policy:
    result = parse_policy(f"monitor-policy {{ {text} }}", "a.policy")
    assert result.policy is not None, result.diagnostics
    return result.policy


def differences(old: str, new: str) -> tuple[Difference, ...]:
    return compare(policy(old), policy(new))


class Follower:
    """An engine that is told what happens; its decisions are carried out."""

    def __init__(self, policy: Policy) -> None:
        self.engine, self.now = Engine(policy), 0.0
        self.live: set[str] = set()
        self.open: dict[str, tuple[Any, ...]] = {}

    def step(self, step: Step) -> set[tuple[Any, ...]]:
        news = {plain(d) for d in (*self._tell(step), *self.engine.handle_timer(self.now))}
        self.open.update({item[0]: item for item in news})
        return news

    def _tell(self, step: Step) -> tuple[Decision, ...]:
        match step:
            case ("fact", event, age):
                at = None if age is None else self.now - age
                return self.engine.handle(replace(event, measured_at=at), self.now)
            case ("event", event):
                return self.engine.handle(event, self.now)
            case ("add", described, place, suspended) if described.id not in self.live:
                self.live.add(described.id)
                self.engine.add_session(described, build.key(place), self.now, suspended=suspended)
            case ("wait" | "late", seconds, *rest):
                self.now += seconds
                return self._tell(rest[0]) if rest else ()
            case ("deadline",):
                self.now += 1.0
            case ("obey",):
                self._obey()
            case ("remove", name) if name in self.live:
                self.live.remove(name)
                self.engine.remove_session(name)
            case ("moved", name, place) if name in self.live:
                self.engine.session_moved(name, build.key(place), self.now)
            case ("suspended", name) if name in self.live:
                self.engine.session_suspended(name, self.now)
        return ()

    def _obey(self) -> None:
        for name, action, target, _ in self.open.values():
            if name in self.live and action == "suspend":
                self.engine.session_suspended(name, self.now)
            elif name in self.live:
                self.engine.session_moved(name, target, self.now)
        self.open = {}

    def verdicts(self) -> list[Any]:
        engine = self.engine
        found: list[Any] = []
        subjects: list[SessionDescription | str] = [STRANGER, *sorted(self.live)]
        for subject in subjects:
            times = [r.after_s if r.after_s is not None else 1e9 for r in engine.expire_rules(subject)]
            rows = [engine.servers(subject, SERVERS, current) for current in ("", SERVERS[1])]
            ranked = [[row.name for row in ranking if row.eligible] for ranking in rows]
            found.append((engine.eager(subject), engine.notifies(subject), min(times, default=1e9), ranked))
        return [engine.adopts(STRANGER).adopt, *found]


def decide_alike(old: Policy, new: Policy, steps: tuple[Step, ...]) -> bool:
    first, second = Follower(old), Follower(new)
    for step in steps:
        if step[0] != "policy" and first.step(step) != second.step(step):
            return False
    return first.verdicts() == second.verdicts()


def compared(old: Policy, new: Policy) -> tuple[Difference, ...] | None:
    try:
        return compare(old, new, limit=LIMIT)
    except TooComplexError:
        return None


def nearly(random: Random, texts: Texts) -> Texts:
    """Return a policy with one statement less, or two that have changed places."""
    number = random.randrange(len(texts.files))
    layer, name, body = texts.files[number]
    at = random.randrange(len(body))
    if "include" in body[at] or random.random() < 0.5:
        changed = (*body[at + 1 :], *body[: at + 1])
    else:
        changed = (*body[:at], *body[at + 1 :])
    return Texts((*texts.files[:number], (layer, name, changed), *texts.files[number + 1 :]))


def momentary(texts: Texts) -> Texts:
    """Return a policy whose conditions are judged by the moment alone."""
    files = [(layer, name, tuple(_PAST.sub("", text) for text in body)) for layer, name, body in texts.files]
    return Texts(tuple(files))


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_where_the_engine_differs_there_is_a_difference(seed: int) -> None:
    random = Random(seed)
    drawn = case(random)
    change = nearly if random.random() < 0.7 else edited
    old, new = drawn.policy.load(), change(random, drawn.policy).load()
    if not decide_alike(old, new, drawn.steps):
        assert compared(old, new) != ()


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_the_engine_confirms_every_difference(seed: int) -> None:
    random = Random(seed)
    texts = momentary(policy_texts(random))
    old, new = texts.load(), nearly(random, texts).load()
    for difference in compared(old, new) or ():
        if can_be_staged(difference):
            assert seen(old, difference) != seen(new, difference), difference


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_a_policy_written_differently_shows_no_difference(seed: int) -> None:
    random = Random(seed)
    old = policy_texts(random).load()
    assert not compared(old, rewritten(random, old))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("score-interface * 1", "score-interface * 11"),
        ("margin 0", "margin 1"),
        ("score-interface eth* 5 settle 3s", "settle 3s score-interface eth* 5"),
        ("on port 22-30 migrate never", "on port 22-25 migrate never on port 26-30 migrate never"),
        ("on port 22 { on user ann migrate never }", "on user ann port 22 migrate never"),
        ("on port 22 migrate never on user ann migrate always", ORDERED),
        ("on user ann migrate never else on user not ann migrate never", UNKNOWN_IS_FREE),
        ("score-interface eth[0-9] 5", "score-interface eth[0-4] 5 score-interface eth[5-9] 5"),
        ("migrate never settle 1s margin 5", "migrate never settle 9s"),
        ("settle 9s", "settle 1s"),
        ("when hour > 7 migrate never", "when hour >= 8 migrate never"),
        (
            "when rtt > 300ms score-interface * -10 when rtt > 200ms score-interface * -10",
            "when rtt > 300ms score-interface * -20 else when rtt > 200ms score-interface * -10",
        ),
        (
            "when battery < 20% for 5s when battery < 50% for 2s migrate never",
            "when battery < 20% for 5s migrate never",
        ),
        ("when carrier = no score-interface * never", ""),
        ("suspend never score-interface * never delay 5s", "suspend never score-interface * never"),
        ("on remote-host *.org { on remote-host not *.org migrate never }", ""),
        ("score-interface * avoid", ""),
        (
            "score-interface eth* avoid score-interface eth* 5",
            "score-interface eth* 5 score-interface eth* avoid",
        ),
        ("score-interface eth* avoid score-interface eth* 9", "score-interface eth* avoid"),
        ("score-interface eth0 never score-interface eth0 avoid", "score-interface eth0 never"),
        ("settle 0s score-interface eth* avoid", "settle 0s score-interface eth* -5"),
        ("migrate never score-interface eth* avoid", "migrate never"),
    ],
)
def test_what_decides_alike_shows_no_difference(old: str, new: str) -> None:
    assert differences(old, new) == ()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("score-interface eth* 5", "score-interface eth? 5", "moves from wlan0 to eth'"),
        ("on user not ann migrate never", "migrate never", "user ann"),
        ("on remote-host a.org { on remote-host b.org adopt }", "", "remote-host a.org and b.org"),
        ("on app ssh adopt", "on app /usr/bin/ssh adopt", "app ssh"),
        ("on session a* migrate never", "on session a migrate never", "session a0"),
        ("on remote-ip 2001:db8:7::/48 adopt", "", "remote-ip 2001:db8:7::1"),
        ("settle 5s score-interface eth0 1", "score-interface eth0 1", "after 5s"),
        ("margin 3 score-interface eth0 2", "score-interface eth0 2", "once suspended, it resumes on eth0"),
        ("score-interface current 1 score-interface eth0 1", "score-interface eth0 1", "stays on wlan0"),
        ("score-server a* 2 score-server b* 1", "score-server a* 1 score-server b* 2", "prefers a"),
        ("score-server a* never", "", "never uses a"),
        ("expire after 2d", "expire after 3d", "expires after 2d"),
        ("delay 5s", "", "leaves a lost link after 5s"),
        ("ignore", "", "is not told of events"),
        ("resume lazy", "", "when needed"),
        ("adopt", "", "is adopted"),
        ("when battery < 20% for 5s ignore", "when battery < 20% for 2s ignore", "battery < 20% for 2s"),
        ("when hour = 3 until hour = 5 ignore", "when hour = 3 ignore", "hour = 3 until hour = 5"),
        ("when rto > 1s { when rto < 500ms ignore }", "", "rto < 500ms"),
        ("score-interface eth* avoid", "score-interface eth* -5", "leaves eth0 for"),
        ("score-interface eth* avoid", "", "leaves eth0 for wlan0"),
        ("score-interface eth* 9 score-interface eth* avoid", "score-interface eth* 9", "leaves eth0 for"),
        (
            "settle 0s delay 1s score-interface eth* avoid",
            "settle 0s delay 1s score-interface eth* -5",
            "leaves",
        ),
        ("delay 2s score-interface eth* avoid", "delay 2s score-interface eth* -5", "leaves eth0 for"),
        ("when rtt > 1s score-interface * avoid", "", "rtt > 1s"),
    ],
)
def test_a_difference_shows_an_example(old: str, new: str, text: str) -> None:
    found = differences(old, new)
    assert text in str([(d.session, d.candidates, d.circumstances, d.old.text) for d in found])


def test_two_links_of_one_kind_differ_by_what_is_measured() -> None:
    (found,) = differences("when metered = yes score-interface * -1", "")
    assert found.candidates == ("eth0 in use", "wlan0")
    assert [(c.about, c.holds, c.value) for c in found.circumstances] == [
        ("eth0 in use", True, True),
        ("wlan0", False, False),
    ]
    assert found.count == 3


def test_beyond_the_limit_it_refuses_to_guess() -> None:
    many = " ".join(f"on port {n} settle {n}s" for n in range(1, 9))
    with pytest.raises(TooComplexError, match="more than 5 kinds of sessions"):
        compare(policy(f"score-interface eth0 1 {many}"), policy("score-interface eth0 1"), limit=5)


def test_many_rules_are_no_trouble() -> None:
    rules = [f"on port {n} score-interface eth* {n}" for n in range(1, 60)]
    assert differences(" ".join(rules), " ".join(reversed(rules))) == ()
