"""The compiled engine and the naive interpreter agree: on decisions, on scores, on adoption, always."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Decision, Engine, Move, Resume, SessionDescription
from monitors.events import Event, LinkGone
from policylang.ast import Policy, Statement
from tests.engine import build
from tests.engine.naive import Naive

DURATIONS = st.sampled_from([0.0, 1.0, 2.0, 5.0])
PATTERNS = st.sampled_from(["*", "eth*", "eth0:1", "ppp*", "eth[01]", "wlan0", "current", "six*"])
# `never` is drawn less often than numbers are, or nothing would ever be eligible.
AMOUNTS = st.one_of(
    *[st.sampled_from([0, 1, 2, 3, 5])] * 4, st.sampled_from(["+3", "-4", "+1"]), st.just("never")
)
SCORES = st.builds(build.score, PATTERNS, AMOUNTS)
LEAVES: st.SearchStrategy[Statement] = st.one_of(
    *[SCORES] * 6,
    st.builds(build.migrate, st.sampled_from([True, True, False])),
    st.builds(build.margin, st.integers(0, 3)),
    st.builds(build.settle, DURATIONS),
    st.builds(build.delay, DURATIONS),
    st.builds(build.suspend, st.one_of(DURATIONS, st.none())),
    st.builds(build.adopt, st.booleans()),
)
CONDITIONS = st.sampled_from(
    [
        "proto tcp",
        "proto udp",
        "port 22",
        "port 80,22",
        "port not 80",
        "port 0-65535",
        "l-port 3001-3010",
        "l-port 3005",
        "any-port 22,3003",
        "remote-ip 18.31.0.4/24",
        "remote-ip 18.31.0.0/16,192.0.2.9/32",
        "remote-ip not 18.31.0.0/16",
        "remote-ip 2001:db8:1::/48",
        "local-ip 10.0.0.0/8",
        "user ann",
        "user not ann",
        "app ssh*",
        "app not ssh",
        "app /usr/bin/*",
        "role client",
    ]
)


def _nested(inner: st.SearchStrategy[Statement]) -> st.SearchStrategy[Statement]:
    bodies = st.lists(inner, max_size=4)
    return st.builds(
        lambda conditions, body, otherwise: build.on(conditions, *body, otherwise=tuple(otherwise)),
        st.lists(CONDITIONS, min_size=1, max_size=2),
        bodies,
        st.one_of(st.just([]), bodies),
    )


STATEMENTS = st.recursive(LEAVES, _nested, max_leaves=8)
POLICIES = st.lists(STATEMENTS, max_size=8).map(lambda body: build.policy(*body))

CONNECTIONS = st.builds(
    lambda remote, port, local_port, others: build.connection(remote, port, local_port, **others),
    st.sampled_from(["18.31.0.9", "18.31.7.9", "192.0.2.9"]),
    st.sampled_from([22, 80, 443]),
    st.sampled_from([3001, 3005, 40000]),
    st.fixed_dictionaries(
        {"proto": st.sampled_from(["tcp", "udp"]), "role": st.sampled_from(["client", "server"])},
        optional={
            "user": st.sampled_from(["ann", "bob"]),
            "app": st.sampled_from(["/usr/bin/ssh", "ssh", "curl"]),
        },
    ),
)
SIX = st.builds(lambda port: (build.connection("2001:db8:1::9", port),), st.sampled_from([22, 80]))
BUNDLES = st.one_of(st.lists(CONNECTIONS, min_size=1, max_size=3).map(tuple), SIX)
NAMES = st.sampled_from(["a", "b", "c", "d"])
PLACES = st.sampled_from(sorted(build.PLACES))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        lambda name, carrier, up: build.link(name, carrier=carrier, up=up),
        PLACES,
        st.booleans(),
        st.sampled_from([True, True, False]),
    ),
    st.builds(
        lambda name, usable: build.present(name, usable=usable), PLACES, st.sampled_from([True, True, False])
    ),
    st.builds(build.gone, PLACES),
    st.builds(lambda name: LinkGone(interface=build.PLACES[name][0], index=build.PLACES[name][1]), PLACES),
)
ADDED = st.tuples(st.just("add"), NAMES, BUNDLES, PLACES, st.sampled_from([False, False, True]))
STEPS = st.one_of(
    st.tuples(st.just("event"), EVENTS),
    st.tuples(st.just("event"), EVENTS),
    st.tuples(st.just("event"), EVENTS),
    ADDED,
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("moved"), NAMES, PLACES),
    st.tuples(st.just("suspended"), NAMES),
    st.tuples(st.just("failed"), NAMES, PLACES),
    st.tuples(st.just("policy"), POLICIES),
    st.tuples(st.just("obey")),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0, 5.0, 40.0])),
    st.tuples(st.just("deadline")),
    st.tuples(st.just("deadline")),
    st.tuples(st.just("obey")),
)
WORLDS = st.lists(PLACES, unique=True, min_size=2).map(
    lambda names: [e for n in names for e in (build.link(n), build.present(n))]
)


def _plain(decision: Decision) -> tuple[Any, ...]:
    match decision:
        case Move(session=session, to=to, urgent=urgent):
            return (session, "move", to.key, urgent)
        case Resume(session=session, to=to):
            return (session, "resume", to.key, False)
    return (decision.session, type(decision).__name__.lower(), None, False)


class Pair:
    """Both interpreters, told the same."""

    def __init__(self, policy: Policy) -> None:
        self.engine, self.naive, self.now = Engine(policy), Naive(policy), 0.0
        self.open: dict[str, tuple[Any, ...]] = {}

    def step(self, step: tuple[Any, ...]) -> None:
        decided = self._tell(step)
        news = [_plain(d) for d in (*decided, *self.engine.handle_timer(self.now))]
        assert len(news) == len(set(news))
        assert set(news) == self.naive.tick(self.now)
        self.open.update({item[0]: item for item in news})
        self._compare_scores()

    def _tell(self, step: tuple[Any, ...]) -> tuple[Decision, ...]:
        match step:
            case ("event", event):
                self.naive.event(event)
                return self.engine.handle(event, self.now)
            case ("policy", policy):
                self.naive.policy = policy
                return self.engine.replace_policy(policy, self.now)
            case ("add", name, connections, place, suspended) if name not in self.naive.sessions:
                described = SessionDescription(id=name, connections=connections)
                self.naive.add(described, build.key(place), suspended)
                self.engine.add_session(described, build.key(place), self.now, suspended=suspended)
            case ("wait", seconds):
                self.now += seconds
            case ("deadline",):
                self.now = max(self.now, self.engine.next_deadline() or 0.0)
            case ("obey",):
                self._obey()
            case ("remove" | "moved" | "suspended" | "failed", name, *rest) if name in self.naive.sessions:
                self._report(step[0], name, *rest)
        return ()

    def _obey(self) -> None:
        """Do what was decided, as the daemon does."""
        for name, action, target, _ in self.open.values():
            if name in self.naive.sessions:
                self.naive.settle_down(name, target)
                if action == "suspend":
                    self.engine.session_suspended(name, self.now)
                else:
                    self.engine.session_moved(name, target, self.now)
        self.open = {}

    def _report(self, what: str, name: str, place: str = "") -> None:
        if what == "remove":
            self.naive.remove(name)
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

    def _compare_scores(self) -> None:
        for name, state in self.naive.sessions.items():
            rows = self.engine.scores(name)
            ours = {(row.interface, row.address): (row.score, row.eligible) for row in rows}
            assert ours == self.naive.table(name, self.now)
            assert self.engine.adopts(state["d"]).adopt is self.naive.adopts(name)


@settings(max_examples=300, deadline=None, database=None)
@given(POLICIES, WORLDS, st.lists(ADDED, min_size=3, max_size=6), st.lists(STEPS, min_size=4, max_size=30))
def test_the_engine_agrees_with_the_naive_interpreter(
    policy: Policy, world: list[Event], sessions: list[tuple[Any, ...]], steps: list[tuple[Any, ...]]
) -> None:
    pair = Pair(policy)
    for step in (*(("event", event) for event in world), *sessions, *steps):
        pair.step(step)
