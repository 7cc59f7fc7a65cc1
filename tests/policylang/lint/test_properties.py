"""What lint calls without effect can be taken out: nothing is decided differently."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import Connection, Engine, SessionDescription
from monitors.events import FactMeasured
from policylang import parse_policy
from policylang.lint import lint_text
from tests.engine import build

SAMPLES = 100
WITHOUT_EFFECT = frozenset({"P001", "P009", "P011", "P014"})
NEVER_READ = {"P002": 1, "P003": 0, "P010": 1, "P016": 1}  # and how many lines below what is found

PLACES = ("eth0", "eth0:1", "eth1", "wlan0")
SERVERS = ("mirror1.example.org", "mirror2.example.org")

SCORES = st.builds(
    "score-interface {} {}".format,
    st.sampled_from(["*", "eth*", "eth0", "eth[01]", "eth?", "eth0:1", "wlan0", "current", "$LINKS"]),
    st.sampled_from(["1", "1", "2", "2", "+3", "-1", "never", "avoid"]),
).filter(
    lambda statement: statement not in ("score-interface current never", "score-interface current avoid")
)
SETTINGS = st.sampled_from(
    [
        *("settle 1s", "settle 5s", "margin 1", "margin 4", "delay 0s", "delay 3s", "migrate never"),
        *("migrate always", "suspend after 1s", "suspend never", "adopt", "adopt never", "resume lazy"),
        *("resume eager", "ignore", "notify", "expire after 1h", "expire never"),
        *("score-server mirror1* 5", "score-server * 3", "score-server *.ORG +1"),
    ]
)
CONDITIONS = [
    *("proto tcp", "proto not tcp", "proto udp", "port 22", "port not 22", "port 20-25", "port 22, 80"),
    *(
        "any-port 22",
        "any-port not 80",
        "l-port 3001-3010",
        "remote-ip 18.31.0.4/16",
        "remote-ip not 18.31.0.0/24",
    ),
    *("remote-ip 18.31.0.0/24", "remote-ip 0.0.0.0/0, ::/0", "user ann", "user not ann", "user *", "app ssh"),
    *("app not ssh", "app /usr/bin/*", "role client", "role client, server", "session a", "session not a*"),
    *("remote-host *.org", "remote-host not www.a.org", "remote-host www.*"),
]
HEADS = st.one_of(
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=2).map(
        lambda listed: f"on {' '.join(listed)}"
    ),
    st.sampled_from(
        [
            *(
                "when on-battery = yes",
                "when on-battery = no",
                "when on-battery != yes",
                "when battery > 50%",
            ),
            *("when battery > 30%", "when battery < 30%", "when battery > 50% until battery < 30%"),
            *("when battery > 50% for 5s", "when battery > 30% for 2s", "when rto > 1s", "when rto > 2s"),
            *("when rto < 1s", "when keepalive-age > 1m", "when keepalive-age < 1h", "when battery > 100%"),
        ]
    ),
)
LINK_HEADS = st.sampled_from(
    ["when metered = yes", "when metered != yes", "when loss > 5%", "when loss > 2%", "when loss < 3%"]
)


def _block(head: str, body: list[str], otherwise: list[str] | None) -> list[str]:
    lines = [f"{head} {{", *body, "}"]
    return lines if otherwise is None else [*lines[:-1], "} else {", *otherwise, "}"]


def _joined(parts: list[list[str]]) -> list[str]:
    return [line for part in parts for line in part]


LINES = st.one_of(SCORES, SCORES, SETTINGS).map(lambda line: [line])
SCORED = st.lists(SCORES, min_size=1, max_size=2)
BY_LINK = st.builds(_block, LINK_HEADS, SCORED, st.one_of(st.none(), SCORED))
BODIES = st.recursive(
    st.one_of(LINES, LINES, BY_LINK),
    lambda inner: st.builds(
        _block,
        HEADS,
        st.lists(inner, min_size=1, max_size=3).map(_joined),
        st.one_of(st.none(), st.lists(inner, min_size=1, max_size=2).map(_joined)),
    ),
    max_leaves=8,
)
TEXTS = st.lists(BODIES, min_size=1, max_size=6).map(_joined)

ENDS = st.sampled_from(
    [
        ("10.0.0.5", "18.31.0.9"),
        ("10.0.0.5", "18.31.7.9"),
        ("10.0.0.5", "192.0.2.9"),
        ("10.0.0.5", "18.99.0.1"),
    ]
)
CONNECTIONS = st.builds(
    lambda ends, **others: Connection(local_address=ends[0], remote_address=ends[1], **others),
    ENDS,
    proto=st.sampled_from(["tcp", "udp"]),
    local_port=st.sampled_from([22, 3005, 40000]),
    remote_port=st.sampled_from([22, 24, 80, 443]),
    user=st.sampled_from([None, "ann", "bob"]),
    app=st.sampled_from([None, "ssh", "/usr/bin/ssh", "/usr/bin/curl"]),
    role=st.sampled_from(["client", "server"]),
    remote_hosts=st.sampled_from([(), ("www.a.org",), ("www.a.net", "b.org")]),
)
SESSIONS = st.builds(
    lambda name, connections: SessionDescription(id=name, connections=tuple(connections)),
    st.sampled_from(["a", "ab", "b"]),
    st.lists(CONNECTIONS, min_size=1, max_size=3),
)
FACTS = st.fixed_dictionaries(
    {
        "on-battery": st.sampled_from([None, True, False]),
        "battery": st.sampled_from([None, 10.0, 40.0, 90.0]),
        "metered eth0": st.sampled_from([None, True, False]),
        "loss wlan0": st.sampled_from([None, 1.0, 2.5, 9.0]),
        "rto x": st.sampled_from([None, 0.5, 1.5, 3.0]),
        "rto y": st.sampled_from([None, 0.5, 3.0]),
        "keepalive-age": st.sampled_from([None, 1.0, 100.0, 9999.0]),
    }
)


def text_of(lines: list[str]) -> str:
    return "\n".join(["define LINKS = eth1, wlan0", "monitor-policy {", *lines, "}"])


def engine_of(lines: list[str], session: SessionDescription) -> Engine:
    loaded = parse_policy(text_of(lines))
    assert loaded.policy is not None
    engine = Engine(loaded.policy)
    for name in PLACES:
        engine.handle(build.link(name), 0.0)
        engine.handle(build.present(name), 0.0)
    engine.add_session(session, build.key("eth0"), 0.0)
    return engine


def measure(engine: Engine, session: SessionDescription, facts: dict[str, Any], now: float) -> None:
    for key, value in facts.items():
        fact, _, where = key.partition(" ")
        about: dict[str, dict[str, Any]] = {
            "metered": {"interface": where},
            "loss": {"interface": where, "peer": session.peer},
            "rto": {"session": session.id, "connection": where},
            "keepalive-age": {"session": session.id},
        }
        engine.handle(FactMeasured(fact=fact, value=value, **about.get(fact, {})), now)


def outcome(engine: Engine, session: SessionDescription) -> tuple[object, ...]:
    """Return all that the policy says of a session now, but for the scores of what it rules out."""
    group = engine._population.cohorts[session.id].group
    values = [
        setting.value
        for setting in (
            *(group.migrate, group.margin, group.settle_s, group.delay_s, group.suspend_after_s),
            *(group.eager, group.notify),
        )
    ]
    rows = [(row.name, row.address, row.score if row.eligible else None) for row in engine.scores(session.id)]
    expire = [rule.after_s for rule in engine.expire_rules(session.id)]
    servers = [
        [
            (row.name, row.score if row.eligible else None)
            for row in engine.servers(session.id, SERVERS, current)
        ]
        for current in SERVERS
    ]
    return values, rows, expire, servers, engine.adopts(session).adopt


def timeline(lines: list[str], session: SessionDescription, steps: list[dict[str, Any]]) -> list[object]:
    engine, seen = engine_of(lines, session), list[object]()
    for number, facts in enumerate(steps):
        measure(engine, session, facts, 10.0 * number)
        for later in (0.0, 2.0, 5.0):
            engine.handle_timer(10.0 * number + later)
            seen.append(outcome(engine, session))
    return seen


def without(lines: list[str], line: int) -> list[str]:
    """Leave out a line of the text, in which the statements begin at the third."""
    return [text for number, text in enumerate(lines, 3) if number != line]


@settings(max_examples=SAMPLES, deadline=None)
@given(TEXTS, SESSIONS, st.lists(FACTS, min_size=1, max_size=3))
def test_a_statement_without_effect_can_be_taken_out(
    lines: list[str], session: SessionDescription, steps: list[dict[str, Any]]
) -> None:
    for diagnostic in lint_text(text_of(lines)):
        if diagnostic.code in WITHOUT_EFFECT:
            rest = without(lines, diagnostic.span.line)
            assert timeline(lines, session, steps) == timeline(rest, session, steps), diagnostic


@settings(max_examples=SAMPLES, deadline=None)
@given(TEXTS, SESSIONS, st.lists(FACTS, min_size=1, max_size=3))
def test_a_body_that_is_said_to_be_never_read_is_never_read(
    lines: list[str], session: SessionDescription, steps: list[dict[str, Any]]
) -> None:
    found = [d for d in lint_text(text_of(lines)) if d.code in NEVER_READ]
    if not found:
        return
    unread = {line for d in found for line in body_from(lines, d.span.line + NEVER_READ[d.code])}
    engine = engine_of(lines, session)
    for number, facts in enumerate(steps):
        measure(engine, session, facts, 10.0 * number)
        for later in (0.0, 2.0, 5.0):
            engine.handle_timer(10.0 * number + later)
            assert not {span.line for span in engine.applied(session.id)} & unread, found


@settings(max_examples=SAMPLES, deadline=None)
@given(TEXTS, SESSIONS, st.lists(FACTS, min_size=1, max_size=3))
def test_a_condition_that_is_said_to_hold_always_can_be_taken_out(
    lines: list[str], session: SessionDescription, steps: list[dict[str, Any]]
) -> None:
    for diagnostic in lint_text(text_of(lines)):
        if diagnostic.code == "P013":
            rest = [*lines]
            rest[diagnostic.span.line - 3] = "on proto tcp, udp {"
            assert timeline(lines, session, steps) == timeline(rest, session, steps), diagnostic


def body_from(lines: list[str], first: int) -> range:
    """Return the lines from the first one of a body to its last."""
    depth, line = 0, first
    while True:
        text = lines[line - 3]
        depth -= text.startswith("}")
        if depth < 0:
            return range(first, line)
        depth += text.endswith("{")
        line += 1
