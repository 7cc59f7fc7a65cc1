"""A control server with a handler that makes everything up, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

from migrated.control.broadcast import Broadcast
from migrated.control.continuations import (
    AttributeReport,
    ContinuationList,
    ContinuationReport,
    Continuations,
    ContinuationSummary,
    ExpireContinuation,
    ShowContinuation,
)
from migrated.control.messages import (
    Answer,
    Done,
    EventList,
    EventReport,
    Explain,
    ForgetPeer,
    KeepAlive,
    LinkList,
    LinkReport,
    Links,
    Move,
    PeerReport,
    PolicyReport,
    PolicyShow,
    PolicyText,
    Refused,
    Request,
    ServerList,
    ServerReport,
    Servers,
    SessionList,
    SessionReport,
    Sessions,
    Status,
    StatusReport,
    Watch,
)
from migrated.control.observations import (
    Events,
    FactList,
    FactReport,
    Facts,
    MonitorList,
    MonitorReport,
    Monitors,
)
from migrated.control.permission import Credentials, choose_session, may_access
from migrated.control.server import ControlServer

PATIENCE_S = 60.0
"""How long tests wait for what must come; a program takes seconds to start on a busy machine."""

MONITORS = MonitorList(
    monitors=(
        MonitorReport(
            name="carrier",
            state="running",
            kind="built-in",
            facts=("carrier", "operstate"),
            events=12,
            failures=1,
            last_error="oops [b]",
            last_error_at=1.5e9,
            last_event="eth0 is up\x1b[2J",
            last_event_at=1.5e9,
            cost_s=0.9,
            longest_step_s=0.0125,
            restarts=2,
            running_s=3600.0,
        ),
        MonitorReport(
            name="power",
            state="not available",
            kind="built-in",
            detail="there is no battery",
            facts=("battery",),
            events=0,
            failures=0,
        ),
        MonitorReport(
            name="weather",
            state="failed to load",
            kind="plugin",
            origin="migrate-weather 1.0",
            detail="ImportError: no module named `sky`",
            troubled=True,
            events=0,
            failures=1,
            last_error="ImportError: no module named `sky`",
        ),
    ),
    uptime_s=3600.0,
    merged=3,
)

STATUS = StatusReport(
    version="1.2",
    pid=4711,
    uptime_s=3700.0,
    host_key="AAAA",
    fingerprint="SHA256:x",
    control_port=6447,
    peers=(
        PeerReport(
            name="b.net",
            address="10.0.0.2",
            fingerprint="SHA256:y",
            state="heard",
            silent=True,
            dropped=7,
            malformed=3,
        ),
    ),
    monitors=MONITORS.monitors,
    sessions=2,
    policy_generation=3,
    last_error="a.policy:1:1: error",
)

LINKS = (
    LinkReport(
        name="ppp0",
        interface="ppp0",
        address="10.2.0.5",
        usable=True,
        why="",
        score=5,
        statement="a.policy:4",
    ),
    LinkReport(
        name="eth0",
        interface="eth0",
        address="10.0.0.5",
        usable=False,
        why="no carrier",
        score=10,
        statement="a.policy:3",
    ),
    LinkReport(
        name="eth1",
        interface="eth1",
        address="10.1.0.5",
        usable=True,
        why="",
        score=10,
        statement="a.policy:3",
    ),
)

POLICY = PolicyReport(
    files=(
        PolicyText(file="default.policy", text="# defaults\n", layer="default"),
        PolicyText(file="a.policy", text="monitor-policy {\n\tadopt\n}\n"),
        PolicyText(file="c.policy", text="\n", layer="user", included_by="a.policy:7"),
    ),
    generation=3,
    loaded_at=1.5e9,
    last_error="b.policy:1:1: error: no",
    last_error_at=1.6e9,
)


FACTS = FactList(
    facts=(
        FactReport(fact="carrier", value=True, interface="eth0"),
        FactReport(fact="carrier", value=False, interface="eth1"),
        FactReport(fact="hour", value=7.0),
        FactReport(fact="plugin.unheard-of", value=1.0),
        FactReport(fact="weekday", value="friday"),
        FactReport(fact="wifi.signal", value=-71.0, unit="dbm", interface="wlan0", measured_at=1.5e9),
        FactReport(fact="rtt", value=0.031, unit="s", interface="wlan0", peer="10.0.0.9", expires_at=4e9),
        FactReport(fact="rto", value=0.2, unit="s", session="aa11" + "0" * 28, connection="4711"),
    )
)

EVENTS = (
    EventReport(time=1.5e9, event="link", fields={"monitor": "carrier", "up": True, "text": "eth0 is up"}),
    EventReport(
        time=1.5e9 + 1,
        event="fact",
        fields={"monitor": "probe", "fact": "rtt", "value": 0.031, "text": "rtt wlan0 = 0.031 s\x1b[2J"},
    ),
)

CONTINUATION = ContinuationReport(
    summary=ContinuationSummary(
        session="aa11" + "0" * 28,
        program="counter",
        user="me",
        kind="complete",
        stored_at=1.5e9,
        expires_at=4e9,
        size=2048,
    ),
    function="",
    command_line=("counter", "--resume it"),
    directory="/srv",
    variables=("HOME",),
    descriptors=("connection", "log"),
    attributes=(AttributeReport(name="index", size=2, exported=True),),
    compatibility=("lib libssl 3.0.17",),
    differs=("lib `libssl` is missing: `3.0.17` is required",),
    on_expiry=True,
)

ALTERED = ContinuationSummary(
    session="ab22" + "0" * 28, program="", user="", kind="altered", stored_at=0, expires_at=None, size=0
)


def a_session(id_: str, program: str = "ssh") -> SessionReport:
    return SessionReport(
        id=id_,
        peer="18.31.0.9",
        program=program,
        pid=99,
        user="me",
        link="eth0",
        local="10.0.0.5:40000",
        remote="18.31.0.9:22",
        state="live",
        since=1.5e9,
        moves=2,
    )


class FakeHandler:
    """Knows sessions by id with the user that each belongs to."""

    def __init__(self, owners: dict[str, int]) -> None:
        self.owners = owners
        self.moved: list[Move] = []
        self.kept_alive: list[KeepAlive] = []
        self.shown: list[ShowContinuation] = []
        self.continuations: tuple[ContinuationSummary, ...] = (CONTINUATION.summary, ALTERED)
        self.asked: list[Servers] = []
        self.monitors = MONITORS
        self.events = EVENTS
        self.events_asked: list[Events] = []
        self.readings = [FACTS]
        self.facts_asked: list[Facts] = []
        self.broadcast = Broadcast()
        self.watched = threading.Event()

    def handle(self, request: Request, who: Credentials) -> Answer | AsyncIterator[EventReport]:
        match request:
            case Status():
                return STATUS
            case Sessions():
                seen = [id_ for id_, owner in self.owners.items() if may_access(who, owner)]
                return SessionList(sessions=tuple(a_session(id_) for id_ in seen))
            case Links():
                return LinkList(links=LINKS)
            case PolicyShow():
                return POLICY
            case Watch():
                watcher = self.broadcast.watch(lambda owner: may_access(who, owner))
                self.watched.set()
                return watcher
            case Move() | Explain() | KeepAlive():
                chosen = choose_session(request.session, self.owners, who)
                if isinstance(chosen, Refused):
                    return chosen
                if isinstance(request, Move):
                    self.moved.append(request)
                if isinstance(request, KeepAlive):
                    self.kept_alive.append(request)
                    return Done(message=f"session {chosen} is {'well' if request.healthy else 'unwell'}")
                return Done(message=f"session {chosen} begins to move")
            case ForgetPeer():
                return Done(message=f"the host key of {request.address} is forgotten")
            case Continuations():
                return ContinuationList(continuations=self.continuations)
            case ShowContinuation():
                self.shown.append(request)
                return CONTINUATION
            case ExpireContinuation():
                return Done(message=f"session {request.session} is given up")
            case Facts():
                self.facts_asked.append(request)
                return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
            case Monitors():
                return self.monitors
            case Events():
                self.events_asked.append(request)
                watcher = self.broadcast.watch(lambda owner: may_access(who, owner))
                for event in self.events:
                    watcher.put(event)
                self.watched.set()
                return watcher if request.follow else EventList(events=self.events)
            case Servers():
                self.asked.append(request)
                rows = enumerate(reversed(request.candidates))
                return ServerList(
                    servers=tuple(
                        ServerReport(name=name, score=9 - n, eligible=name != "out", reasons=("because",))
                        for n, name in rows
                    )
                )
            case _:
                assert_never(request)


class RunningServer:
    """A server that runs, its handler, and a way onto its loop."""

    def __init__(self, path: Path, handler: FakeHandler, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.handler = handler
        self._loop = loop

    def publish(self, event: EventReport, owner: int | None = None) -> None:
        """Publish an event from the server's thread."""
        self._loop.call_soon_threadsafe(self.handler.broadcast.publish, event, owner)


@contextmanager
def running_server(path: Path, owners: dict[str, int]) -> Iterator[RunningServer]:
    """Run a server until the end of the block; faults of its connections end the test."""
    handler = FakeHandler(owners)
    loop = asyncio.new_event_loop()
    server = ControlServer(path, handler)
    faults: list[object] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE_S)
        yield RunningServer(path, handler, loop)
    finally:
        try:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(PATIENCE_S)
        finally:  # a thread that goes on would keep the tests' process from its end
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
    assert faults == [], faults
