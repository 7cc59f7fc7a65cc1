"""Both interpreters told the same, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from math import inf
from random import Random
from typing import Any

from engine import Decision, Engine, Move, Resume, SessionDescription
from policylang.ast import Policy
from tests.engine import build
from tests.engine.generated import SERVERS, Texts, policy_texts
from tests.engine.generated_steps import Case, Step, case, description
from tests.engine.naive import Naive

CASES_PER_POLICY = 8

STRANGER = description(Random(8), "a")
"""A session that is described and does not live, though one of its name may."""


def plain(decision: Decision) -> tuple[Any, ...]:
    match decision:
        case Move(session=session, to=to, urgent=urgent):
            return (session, "move", to.key, urgent)
        case Resume(session=session, to=to):
            return (session, "resume", to.key, False)
    return (decision.session, type(decision).__name__.lower(), None, False)


@lru_cache(maxsize=4)
def loaded(texts: Texts) -> Policy:
    """Return a policy as it was loaded before, if it was: that takes as long as half of the rest."""
    return texts.load()


class Pair:
    """The engine and the oracle."""

    def __init__(self, case: Case) -> None:
        policy = loaded(case.policy)
        self.engine, self.naive, self.now = Engine(policy), Naive(policy), 0.0
        self.open: dict[str, tuple[Any, ...]] = {}
        self.history: list[tuple[float, tuple[Any, ...]]] = []

    def step(self, step: Step) -> None:
        decided = self.tell(step)
        news = [plain(d) for d in (*decided, *self.engine.handle_timer(self.now))]
        assert len(news) == len(set(news)), news
        assert set(news) == self.naive.tick(self.now)
        self.open.update({item[0]: item for item in news})
        self.history += [(self.now, item) for item in sorted(news, key=str)]

    def tell(self, step: Step) -> tuple[Decision, ...]:
        match step:
            case ("fact", event, age):
                at = None if age is None else self.now - age
                return self.tell(("event", replace(event, measured_at=at)))
            case ("event", event):
                self.naive.event(event, self.now)
                return self.engine.handle(event, self.now)
            case ("policy", texts):
                policy = texts.load()
                self.naive.reload(policy, self.now)
                return self.engine.replace_policy(policy, self.now)
            case ("add", described, place, suspended) if described.id not in self.naive.sessions:
                self.naive.add(described, build.key(place), suspended)
                self.engine.add_session(described, build.key(place), self.now, suspended=suspended)
            case ("wait", seconds):
                self.wait(seconds)
            case ("late", seconds, what):
                self.wait(seconds)
                return self.tell(what)
            case ("deadline",):
                self.now = max(self.now, self.engine.next_deadline() or 0.0)
            case ("obey",):
                self.obey()
            case ("remove" | "moved" | "suspended" | "failed", name, *rest) if name in self.naive.sessions:
                self.report(step[0], name, *rest)
        return ()

    def wait(self, seconds: float) -> None:
        """Let time pass; the engine must have said when a condition changes by time alone."""
        change = self.naive.facts.next_change()
        deadline = self.engine.next_deadline()
        assert change == inf or (deadline is not None and deadline <= change), (deadline, change)
        self.now += seconds

    def obey(self) -> None:
        """Do what was decided, as the daemon does."""
        for name, action, target, _ in self.open.values():
            if name in self.naive.sessions:
                self.naive.settle_down(name, target)
                if action == "suspend":
                    self.engine.session_suspended(name, self.now)
                else:
                    self.engine.session_moved(name, target, self.now)
        self.open = {}

    def report(self, what: str, name: str, place: str = "") -> None:
        if what == "remove":
            self.naive.remove(name, self.now)
            self.engine.remove_session(name)
        elif what == "moved":
            self.naive.settle_down(name, build.key(place))
            self.engine.session_moved(name, build.key(place), self.now)
        elif what == "suspended":
            self.naive.settle_down(name, None)
            self.engine.session_suspended(name, self.now)
        elif what == "failed":
            self.naive.failed(name, build.key(place), self.now)
            self.engine.point_failed(name, build.key(place), self.now)

    def compare(self) -> None:
        """Compare all that can be asked: scores, statements, conditions, servers and the rest."""
        for name in self.naive.sessions:
            rows = self.engine.scores(name)
            ours = {(row.interface, row.address): (row.score, row.eligible) for row in rows}
            assert ours == self.naive.table(name, self.now)
            assert self.engine.applied(name) == self.naive.applied(name)
            self.compare_conditions(name)
            self.compare_verdicts(name)
        self.compare_verdicts(STRANGER)
        self.compare_measured()

    def compare_measured(self) -> None:
        """Compare what is known, and since and until when."""
        ours = set()
        for told in self.engine.measured():
            where = "link" if told.interface else "session" if told.session else ""
            names = (where, told.interface, told.peer, told.session, told.connection)
            assert told.measured_at is not None
            until = inf if told.lifetime_s is None else told.measured_at + told.lifetime_s
            ours.add((told.fact, *filter(None, names), told.value, until, told.measured_at))
        assert ours == self.naive.measurements()

    def compare_conditions(self, name: str) -> None:
        """Compare which conditions hold, for what."""
        rows = self.engine.explain(name, self.now).conditions
        ours = {(row.span, row.subject) for row in rows if row.holds}
        assert ours == self.naive.conditions(name)

    def compare_verdicts(self, subject: SessionDescription | str) -> None:
        live = isinstance(subject, str)
        described = self.naive.sessions[subject]["d"] if isinstance(subject, str) else subject
        expected = self.naive.verdicts(described, live)
        times = [inf if r.after_s is None else r.after_s for r in self.engine.expire_rules(subject)]
        assert expected == {
            "adopt": self.engine.adopts(described).adopt if not live else expected["adopt"],
            "eager": self.engine.eager(subject),
            "notify": self.engine.notifies(subject),
            "expire": min(times, default=None),
        }
        for current in ("", SERVERS[1]):
            rows = self.engine.servers(subject, SERVERS, current)
            ours = [(row.name, row.score, row.eligible) for row in rows]
            assert ours == self.naive.servers(described, live, list(SERVERS), current)


def run(case: Case) -> Pair:
    """Tell both everything and compare after every step; return them as they are then."""
    pair = Pair(case)
    for number, step in enumerate(case.steps):
        pair.step(step)
        if number % 8 == 7 or number == len(case.steps) - 1:
            pair.compare()
    return pair


def case_of(seed: int) -> Case:
    """Return the case of a seed; each policy has several worlds and courses of events, one after another."""
    return case(Random(seed), policy_texts(Random(seed // CASES_PER_POLICY)))


def failure(case: Case) -> Exception | None:
    """Return how a case fails, if it does."""
    try:
        run(case)
    except Exception as problem:  # noqa: BLE001 - whatever the engine raises is a failure to be shown small
        return problem
    return None


def smaller(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Return a case that fails too and can't lose another step or statement."""
    shrunk = True
    while shrunk:
        shrunk = False
        for trial in _without(case):
            if fails(trial):
                case, shrunk = trial, True
                break
    return case


def _without(case: Case) -> Iterator[Case]:
    """Yield the cases with one step or one statement less."""
    for number in reversed(range(len(case.steps))):
        yield replace(case, steps=case.steps[:number] + case.steps[number + 1 :])
    for number, (layer, name, body) in enumerate(case.policy.files):
        for place, statement in enumerate(body):
            if "include" in statement:
                continue
            file = (layer, name, body[:place] + body[place + 1 :])
            files = (*case.policy.files[:number], file, *case.policy.files[number + 1 :])
            yield replace(case, policy=replace(case.policy, files=files))
