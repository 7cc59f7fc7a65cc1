from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Connection, Engine, SessionDescription
from migrated.continuations.expiry import Expiries, expire_s
from policylang import load_policy
from policylang.ast import Layer
from policylang.loader import PolicyFile

DAY = 86_400.0


def a_session(port: int = 22) -> SessionDescription:
    connection = Connection(
        proto="tcp", local_address="10.0.0.5", local_port=4000, remote_address="18.31.0.9", remote_port=port
    )
    return SessionDescription(id="s", connections=(connection,))


LAYERS = (Layer.SYSTEM, Layer.USER, Layer.APPLICATION)


def expire_of(folder: Path, *texts: str, port: int = 22, layers: tuple[Layer, ...] = LAYERS) -> float | None:
    files = []
    for number, (text, layer) in enumerate(zip(texts, layers, strict=False)):
        files.append(PolicyFile(path=folder / f"{number}.policy", layer=layer))
        files[-1].path.write_text(f"monitor-policy {{ {text} }}\n")
    loaded = load_policy(files, with_defaults=True)
    assert loaded.policy is not None, loaded.diagnostics
    return expire_s(Engine(loaded.policy).expire_rules(a_session(port)))


@pytest.mark.parametrize(
    ("text", "eager"), [("", True), ("resume lazy", False), ("resume lazy on port 22 resume eager", True)]
)
def test_the_last_resume_says_when_a_continuation_is_asked_for(
    tmp_path: Path, text: str, eager: bool
) -> None:
    file = tmp_path / "a.policy"
    file.write_text(f"monitor-policy {{ {text} }}\n")
    policy = load_policy([file], with_defaults=True).policy
    assert policy is not None
    assert Engine(policy).eager(a_session()) is eager


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), 30 * DAY),
        (("expire after 7d",), 7 * DAY),
        (("expire after 90d",), 90 * DAY),
        (("expire never",), None),
        (("expire after 7d", "expire after 2d"), 2 * DAY),
        (("expire after 2d", "expire after 7d"), 2 * DAY),
        (("expire never", "expire after 7d"), 7 * DAY),
        (("expire after 2d", "expire never"), 2 * DAY),
        (("expire after 2d expire after 7d",), 7 * DAY),
        (("expire after 2d on port 22 { expire after 7d }",), 7 * DAY),
        (("expire after 2d on port 23 { expire after 7d }",), 2 * DAY),
        (("on port 23 { expire after 1h }",), 30 * DAY),
    ],
)
def test_the_shortest_of_the_layers_wins(
    tmp_path: Path, texts: tuple[str, ...], expected: float | None
) -> None:
    assert expire_of(tmp_path, *texts) == expected


def test_the_last_within_a_layer_wins_whatever_file_it_is_in(tmp_path: Path) -> None:
    layers = (Layer.SYSTEM, Layer.SYSTEM)
    assert expire_of(tmp_path, "expire after 2d", "expire after 7d", layers=layers) == 7 * DAY
    assert expire_of(tmp_path, "expire after 2d", "expire never", layers=layers) is None


def test_without_any_statement_a_session_is_kept() -> None:
    assert expire_s(()) is None


SESSIONS = st.sampled_from([b"a", b"b", b"c", b"d"])
TIMES = st.integers(0, 20).map(float)
STEPS = st.one_of(
    st.tuples(st.just("set"), SESSIONS, TIMES | st.none()),
    st.tuples(st.just("forget"), SESSIONS, st.none()),
    st.tuples(st.just("ask"), st.just(b""), TIMES),
)


@given(st.lists(STEPS, max_size=60))
def test_it_is_a_dictionary_of_times(steps: list[tuple[str, bytes, float | None]]) -> None:
    expiries, expected = Expiries(), dict[bytes, float]()
    for step, session, at in steps:
        expected.pop(session, None)
        if step == "set":
            expiries.set(session, at)
            if at is not None:
                expected[session] = at
        elif step == "forget":
            expiries.forget(session)
        else:
            assert at is not None
            due = sorted((time, name) for name, time in expected.items() if time <= at)
            assert expiries.expired(at) == tuple(name for _, name in due)
            expected = {name: time for name, time in expected.items() if time > at}
        assert expiries.next_deadline() == min(expected.values(), default=None)


def test_what_is_set_again_and_again_does_not_fill_the_memory() -> None:
    expiries = Expiries()
    for number in range(10_000):
        expiries.set(b"a", 1e9 + number)
    assert len(expiries._heap) < 100
    assert expiries.expired(2e9) == (b"a",)
