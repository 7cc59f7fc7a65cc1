"""The named properties of docs/semantics.md over generated policies, worlds and events, facts included.

Each case is run by the engine and by the oracle at once (`run`): a property that fails here, fails for both.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Engine, Move, Resume, Suspend
from policylang.ast import Layer
from tests.engine import build
from tests.engine.build import engine_of, fact, key, link
from tests.engine.generated import Texts, policy_texts
from tests.engine.generated_run import Pair, case_of, run
from tests.engine.generated_steps import NAMES, PLACES, Case, Step, case, description

# A seed is a case. Hypothesis could draw every choice itself, at a hundred times the cost.
SEEDS = st.integers(0, 1 << 32)
CASES = SEEDS.map(case_of)
generated = settings(max_examples=60, deadline=None, database=None)


def with_last(texts: Texts, *statements: str) -> Texts:
    """Return a policy whose last word is this."""
    return Texts((*texts.files, (Layer.APPLICATION, "last.policy", statements)))


def with_last_always(made_up: Case, *statements: str) -> Case:
    """Return a case in which each policy, also one that is loaded later, ends in this."""

    def changed(step: Step) -> Step:
        if step[0] == "policy":
            return ("policy", with_last(step[1], *statements))
        return (*step[:2], changed(step[2])) if step[0] == "late" else step

    steps = tuple(changed(step) for step in made_up.steps)
    return Case(with_last(made_up.policy, *statements), steps)


def of(step: Step) -> Step:
    """Return what happens in a step, late or not."""
    return step[2] if step[0] == "late" else step


def without_reloads(made_up: Case) -> tuple[Step, ...]:
    return tuple(step for step in made_up.steps if of(step)[0] != "policy")


def without_facts(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(step for step in steps if of(step)[0] != "fact")


@generated
@given(CASES, st.integers(0, 9))
def test_the_last_statement_wins(made_up: Case, amount: int) -> None:
    pair = run(with_last_always(made_up, f"score-interface * {amount}"))
    for name in pair.naive.sessions:
        assert {row.score for row in pair.engine.scores(name)} <= {amount}


@generated
@given(CASES, st.booleans())
def test_never_outranks_any_score_before_and_after_it(made_up: Case, first: bool) -> None:
    never = (Layer.DEFAULT, "never.policy", ("score-interface eth* never",))
    files = made_up.policy.files
    texts = Texts((never, *files) if first else (*files, (Layer.APPLICATION, *never[1:])))
    pair = run(Case(texts, without_reloads(made_up)))
    assert all(item[2] is None or not item[2][0].startswith("eth") for _, item in pair.history)


@generated
@given(CASES, st.booleans(), st.integers(0, 1000))
def test_avoid_outranks_any_score_but_not_the_lack_of_anything_else(
    made_up: Case, first: bool, amount: int
) -> None:
    """Whoever goes to a link that is to be avoided could have gone to no other."""
    avoid = (Layer.DEFAULT, "avoid.policy", ("score-interface eth* avoid",))
    texts = made_up.policy
    files = tuple((layer, name, tuple(map(_without_avoid, body))) for layer, name, body in texts.files)
    last = (Layer.APPLICATION, "last.policy", (f"score-interface eth* {amount}", "migrate always"))
    files = (avoid, *files, last) if first else (*files, last, (Layer.APPLICATION, *avoid[1:]))
    pair = Pair(Case(Texts(files), ()))
    for step in without_reloads(made_up):
        before = len(pair.history)
        pair.step(step)
        for _, (name, _, target, _) in pair.history[before:]:
            fine = {
                p: avoided for p, (_, usable, avoided) in pair.naive.resorts(name, pair.now).items() if usable
            }
            assert target in fine if fine else target is None
            assert target is None or not fine[target] or all(fine.values())


def _without_avoid(text: str) -> str:
    return re.sub(r"(score-interface \S+) avoid", r"\1 7", text)


@generated
@given(CASES)
def test_the_current_link_wins_ties(made_up: Case) -> None:
    """Where all links score the same, none is left that packets can leave by and that nothing rules out."""
    pair = Pair(with_last_always(made_up, "score-interface * 5", "margin 0", "settle 0s"))
    for step in with_last_always(made_up, "score-interface * 5", "margin 0", "settle 0s").steps:
        before = len(pair.history)
        pair.step(step)
        for _, (name, action, _, _) in pair.history[before:]:
            rows = pair.naive.table(name, pair.now)
            current = pair.naive.sessions[name]["current"]
            assert action == "resume" or not rows.get(current, (0, False))[1]


@generated
@given(SEEDS.map(Random))
def test_unknown_is_not_bad(random: Random) -> None:
    """Conditions about what nobody measures do as their `else`s would alone."""
    made_up = case(random)
    about = random.choice(("hour != 3", "keepalive-age != 1s", "rto < 9d", "wifi.ssid != x", "rtt >= 0s"))
    bad = "score-interface * never" if about[0] in "wr" and "rto" not in about else "migrate never"
    steps = without_facts(without_reloads(made_up))
    unknown = with_last(
        made_up.policy, f"when {about} {bad}", f"when {about} {{ {bad} }} else score-interface * +1"
    )
    silent = with_last(made_up.policy, "score-interface * +1")
    assert run(Case(unknown, steps)).history == run(Case(silent, steps)).history


@given(st.lists(st.floats(0.01, 1.99), max_size=30), st.sampled_from(["carrier", "metered", "until"]))
@settings(max_examples=60, deadline=None, database=None)
def test_no_flapping(pauses: list[float], how: str) -> None:
    """Two links that swap places faster than `settle` cause no move, by whatever they swap them."""
    until = "until metered = no for 500ms" if how == "until" else ""
    engine = engine_of(
        ["ppp0", "eth0"], "score-interface eth0 10", f"when metered = yes {until} score-interface eth0 0"
    )
    engine.add_session(build.session(), key("ppp0"), 0.0)
    now = 0.0
    for number, pause in enumerate(pauses):
        worse = number % 2 == 0
        event = (
            link("eth0", carrier=not worse) if how == "carrier" else fact("metered", worse, interface="eth0")
        )
        assert engine.handle(event, now) == ()
        now += pause
        assert engine.handle_timer(now) == ()


@given(st.floats(0, 100), st.sampled_from([0.5, 2.0, 30.0]), st.sampled_from([0.0, 1.0, 4.0]))
@settings(max_examples=60, deadline=None, database=None)
def test_fail_back_reaches_existing_sessions(outage: float, settle: float, hold: float) -> None:
    """A session driven away by a condition returns when that has been over for its time and `settle`."""
    engine = engine_of(
        ["ppp0", "eth0"],
        f"score-interface eth0 10 settle {settle}s",
        f"when rtt > 300ms until rtt < 100ms for {hold}s score-interface * never",
    )
    engine.add_session(build.session(), key("eth0"), 0.0)
    (left,) = engine.handle(fact("rtt", 0.5, interface="eth0", peer="192.0.2.9"), 1.0)
    assert isinstance(left, Move)
    assert left.to.key == key("ppp0")
    engine.session_moved("s", key("ppp0"), 1.0)
    over = 1.0 + outage
    assert engine.handle(fact("rtt", 0.05, interface="eth0", peer="192.0.2.9"), over) == ()
    engine.handle_timer(over + hold)
    back = over + hold + settle
    assert engine.handle_timer(back - 0.01) == ()
    (returned,) = engine.handle_timer(back + 0.01)
    assert isinstance(returned, Move)
    assert returned.to.key == key("eth0")


@generated
@given(SEEDS.map(Random))
def test_a_reload_restarts_no_timer(random: Random) -> None:
    """The same policy loaded again, at any moment, changes nothing that is decided then or later."""
    made_up = case(random)
    steps = without_reloads(made_up)
    often = [
        s
        for step in steps
        for s in ((step, ("policy", made_up.policy)) if random.random() < 0.5 else (step,))
    ]
    assert run(Case(made_up.policy, tuple(often))).history == run(Case(made_up.policy, steps)).history


@generated
@given(SEEDS.map(Random))
def test_all_links_lost_and_back_again_every_session_resumes(random: Random) -> None:
    """Whatever the policy, as long as nothing in it says `never`, and whatever was measured."""
    files = (
        (layer, name, tuple(re.sub(r"(score-interface \S+) never", r"\1 1", text) for text in body))
        for layer, name, body in policy_texts(random).files
    )
    texts = with_last(Texts(tuple(files)), "migrate always", "delay 0s", "suspend after 0s")
    engine = Engine(texts.load())
    for place in PLACES:
        engine.handle(link(place), 0.0)
        engine.handle(build.present(place), 0.0)
    for name in NAMES:
        engine.add_session(description(random, name), key(random.choice(PLACES)), 0.0)
    lost: list[Any] = [d for place in PLACES for d in engine.handle(link(place, carrier=False), 1.0)]
    lost += engine.handle_timer(1.0)
    assert {d.session for d in lost if isinstance(d, Suspend)} == set(NAMES)
    for name in NAMES:
        engine.session_suspended(name, 2.0)
    assert engine.handle_timer(1000.0) == ()
    back = [d for place in PLACES for d in engine.handle(link(place), 1001.0)]
    assert {d.session for d in back if isinstance(d, Resume)} == set(NAMES)
