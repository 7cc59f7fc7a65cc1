"""A difference is found if and only if the engine decides something differently."""

from __future__ import annotations

import re
from random import Random
from typing import Any

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


@settings(deadline=None)
@given(SEEDS)
def test_where_the_engine_differs_there_is_a_difference(seed: int) -> None:
    random = Random(seed)
    drawn = case(random)
    change = nearly if random.random() < 0.7 else edited
    old, new = drawn.policy.load(), change(random, drawn.policy).load()
    if not decide_alike(old, new, drawn.steps):
        assert compared(old, new) != ()


@settings(deadline=None)
@given(SEEDS)
def test_the_engine_confirms_every_difference(seed: int) -> None:
    random = Random(seed)
    texts = momentary(policy_texts(random))
    old, new = texts.load(), nearly(random, texts).load()
    for difference in compared(old, new) or ():
        if can_be_staged(difference):
            assert seen(old, difference) != seen(new, difference), difference


@settings(deadline=None)
@given(SEEDS)
def test_a_policy_written_differently_shows_no_difference(seed: int) -> None:
    random = Random(seed)
    old = policy_texts(random).load()
    assert not compared(old, rewritten(random, old))
