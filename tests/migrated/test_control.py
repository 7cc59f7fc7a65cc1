from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from migrated.control import messages, server
from migrated.control.broadcast import MAX_UNREAD, Broadcast
from migrated.control.client import RefusedError, UnreachableError, request, watch
from migrated.control.messages import (
    MAX_REQUEST_BYTES,
    Answer,
    Done,
    EventReport,
    Links,
    Move,
    PolicyShow,
    Refused,
    Request,
    SessionList,
    Sessions,
    Status,
    Watch,
    decode_answer,
    encode,
)
from migrated.control.permission import Credentials
from migrated.control.server import MAX_CLIENTS_PER_USER, ControlError, ControlServer
from tests.migrated.control_fakes import (
    LINKS,
    PATIENCE_S,
    POLICY,
    STATUS,
    FakeHandler,
    RunningServer,
    running_server,
)

A_USER = 12345


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name that other users may enter: the path of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="mig") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def running(folder: Path) -> Iterator[RunningServer]:
    owners = {"aa11": os.getuid(), "ab22": A_USER}
    with running_server(folder / "run" / "control.sock", owners) as server:
        yield server


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    sock.connect(str(path))
    return sock


def everything_from(sock: socket.socket) -> bytes:
    """Read to the end; a server that closes before it has read everything resets."""
    received = b""
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            return received
        if not data:
            return received
        received += data


def test_requests_and_answers(running: RunningServer) -> None:
    assert request(running.path, Status()) == STATUS
    assert request(running.path, Links()) == messages.LinkList(links=LINKS)
    assert request(running.path, PolicyShow()) == POLICY
    assert isinstance(request(running.path, Move(session="aa", link="eth1")), Done)
    assert running.handler.moved == [Move(session="aa", link="eth1")]
    with pytest.raises(RefusedError, match="there is no session `zz`") as caught:
        request(running.path, Move(session="zz", link="eth1"))
    assert caught.value.code == "unknown-session"


def test_one_connection_carries_many_requests(running: RunningServer) -> None:
    with connected(running.path) as sock, sock.makefile("rb") as lines:
        sock.sendall(encode(Status()) + encode(Links()) + encode(Status()))
        answers = [decode_answer(lines.readline()) for _ in range(3)]
    assert answers == [STATUS, messages.LinkList(links=LINKS), STATUS]


def test_everybody_may_connect(running: RunningServer) -> None:
    assert running.path.stat().st_mode & 0o777 == 0o666
    assert running.path.parent.stat().st_mode & 0o777 == 0o755


def test_watching(running: RunningServer) -> None:
    events = watch(running.path)
    published = [
        EventReport(time=1.0 + n, event="moved", fields={"n": n, "because": ["x"]}) for n in range(3)
    ]

    def publish() -> None:
        running.handler.watched.wait()  # what is published sooner never comes
        for event in published:
            running.publish(event)

    import threading

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    assert [next(events) for _ in published] == published
    events.close()
    thread.join(PATIENCE_S)
    assert request(running.path, Status()) == STATUS


def test_events_about_the_sessions_of_others_are_not_shown() -> None:
    async def script() -> list[str]:
        broadcast = Broadcast()
        seen = broadcast.watch(lambda owner: owner == 1)
        for name, owner in (("mine", 1), ("theirs", 2), ("no one's", None)):
            broadcast.publish(EventReport(time=0.0, event=name, fields={}), owner)
        return [(await anext(seen)).event for _ in range(2)]

    assert asyncio.run(script()) == ["mine", "no one's"]


def test_a_slow_watcher_is_told_what_it_missed() -> None:
    async def script() -> list[EventReport]:
        broadcast = Broadcast()
        seen = broadcast.watch(lambda _: True)
        for number in range(MAX_UNREAD + 5):
            broadcast.publish(EventReport(time=float(number), event="e", fields={}))
        return [await anext(seen) for _ in range(MAX_UNREAD + 1)]

    first, *rest = asyncio.run(script())
    assert (first.event, first.fields) == ("missed", {"count": 5})
    assert [event.time for event in rest] == [float(n) for n in range(5, MAX_UNREAD + 5)]


def test_random_bytes_get_one_refusal(running: RunningServer) -> None:
    chance = random.Random(7)
    for length in (1, 2, 30, 500, 20_000):
        with connected(running.path) as sock:
            try:
                sock.sendall(chance.randbytes(length) + b"\n")
            except BrokenPipeError:
                assert length > MAX_REQUEST_BYTES
            first, *more = everything_from(sock).splitlines()
        refusal = decode_answer(first)
        assert isinstance(refusal, Refused)
        assert refusal.code in ("bad-request", "too-long")
        assert more == []
    assert request(running.path, Status()) == STATUS


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "reboot"}',
        b'{"type": "move", "session": 1, "link": "a"}',
        b'{"type": "move", "session": "a"}',
        b'{"type": "status-report"}',
        b"[" * 2000,
    ],
)
def test_what_is_no_request_is_refused(running: RunningServer, line: bytes) -> None:
    with connected(running.path) as sock:
        sock.sendall(line + b"\n")
        refusal = msgspec.json.decode(everything_from(sock))
    assert refusal["code"] == "bad-request"
    assert refusal["reason"].startswith("this is not a request: ")


def test_a_line_without_an_end(running: RunningServer) -> None:
    with connected(running.path) as sock:
        sock.sendall(b'{"type": "status"}')
        sock.shutdown(socket.SHUT_WR)
        assert msgspec.json.decode(everything_from(sock))["code"] == "bad-request"


def test_an_oversize_line(running: RunningServer) -> None:
    with connected(running.path) as sock:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            sock.sendall(b"a" * 100_000_000)
        assert msgspec.json.decode(everything_from(sock))["code"] == "too-long"
    with pytest.raises(RefusedError, match="too long"):
        request(running.path, Move(session="a" * 10_000_000, link=""))


def test_a_client_that_ends_in_mid_answer(running: RunningServer) -> None:
    running.handler.owners.update({f"{number:032x}": os.getuid() for number in range(20_000)})
    for _ in range(3):
        with connected(running.path) as sock:
            sock.sendall(encode(Sessions()) * 10)
            assert sock.recv(10)
    assert request(running.path, Status()) == STATUS


def test_watchers_that_end_are_forgotten(running: RunningServer) -> None:
    for _ in range(2 * MAX_CLIENTS_PER_USER):
        with connected(running.path) as sock:
            sock.sendall(encode(Watch()))
            assert running.handler.watched.wait(PATIENCE_S)
            running.handler.watched.clear()
            sock.shutdown(socket.SHUT_WR)
            assert everything_from(sock) == b""


def test_a_user_has_only_so_many_connections(running: RunningServer) -> None:
    idle = [connected(running.path) for _ in range(MAX_CLIENTS_PER_USER)]
    for sock in idle:
        sock.sendall(encode(Status()))
        assert sock.recv(1)
    with pytest.raises(RefusedError, match="too many connections") as caught:
        request(running.path, Status())
    assert caught.value.code == "busy"
    idle[0].shutdown(socket.SHUT_WR)
    everything_from(idle[0])
    assert request(running.path, Status()) == STATUS
    for sock in idle:
        sock.close()


def test_ordinary_users_together_do_not_keep_root_out(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CLIENTS", 0)
    assert request(running.path, Status()) == STATUS
    monkeypatch.setattr(Credentials, "privileged", False)
    with pytest.raises(RefusedError, match="too many connections"):
        request(running.path, Status())


def start(path: Path) -> None:
    async def script() -> None:
        control = ControlServer(path, FakeHandler({}))
        await control.start()
        await control.close()

    asyncio.run(script())


class CountingHandler(FakeHandler):
    answered = 0

    def handle(self, request: Request, who: Credentials) -> Answer | AsyncIterator[EventReport]:
        self.answered += 1
        return super().handle(request, who)


@pytest.mark.parametrize("privileged", [True, False])
def test_ordinary_users_wait_as_long_as_their_answers_take(
    privileged: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask at once, they get one answer at a time; root gets hers without any wait."""
    monkeypatch.setattr(Credentials, "privileged", privileged)
    clock = itertools.count()
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    rests, handler = list[int](), CountingHandler({})
    real_sleep = asyncio.sleep

    async def rest(seconds: float) -> None:
        if seconds:
            rests.append(handler.answered)
        await real_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", rest)

    async def ask(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(encode(Status()))
        assert decode_answer(await reader.readline()) == STATUS
        writer.close()

    async def play() -> None:
        control = ControlServer(folder / "control.sock", handler)
        await control.start()
        await asyncio.gather(*(ask(folder / "control.sock") for _ in range(5)))
        await control.close()

    asyncio.run(play())
    assert rests == ([] if privileged else [1, 2, 3, 4, 5])


def test_a_stale_socket_is_replaced(folder: Path) -> None:
    path = folder / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(UnreachableError, match="no daemon is running at"):
        request(path, Status())
    with running_server(path, {}):
        assert request(path, Status()) == STATUS
    assert not path.exists()


def test_a_daemon_that_runs_is_not_replaced(running: RunningServer) -> None:
    with pytest.raises(ControlError, match=rf"another daemon is running \(pid {os.getpid()}\)"):
        start(running.path)
    assert request(running.path, Status()) == STATUS


def test_the_socket_of_a_successor_is_left_alone(folder: Path) -> None:
    path = folder / "control.sock"
    with running_server(path, {}):
        path.unlink()
        with running_server(path, {}) as successor:
            pass
        path.touch()
    assert path.exists()
    assert successor.path == path


def test_a_file_in_the_way_is_left_alone(folder: Path) -> None:
    path = folder / "control.sock"
    path.write_text("precious")
    with pytest.raises(ControlError, match="is not a socket"):
        start(path)
    assert path.read_text() == "precious"


def test_places_where_no_socket_can_be(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(
        ControlError, match=r"cannot open the control socket .*: file exists; see `runtime_folder`"
    ):
        start(folder / "file" / "control.sock")
    with pytest.raises(ControlError, match="path too long"):
        start(folder / ("x" * 120) / "control.sock")


def test_there_is_no_daemon(folder: Path) -> None:
    with pytest.raises(UnreachableError, match="start `migrated` as root, or name its socket"):
        request(folder / "nothing", Status())
    with pytest.raises(UnreachableError, match="cannot connect"):
        request(folder / ("x" * 120), Status())


def test_a_file_that_is_no_socket_is_not_taken_for_a_daemon(folder: Path) -> None:
    (folder / "file").touch(mode=0o444)
    for path in (folder, folder / "file"):
        with pytest.raises(UnreachableError, match=f"^{path} is not a socket; name the daemon's"):
            request(path, Status())


def misbehaving(path: Path, says: bytes) -> socket.socket:
    """Return a listener with one connection whose other end says something and then no more."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(MAX_REQUEST_BYTES)
            accepted.sendall(says)

    import threading

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (b"", "the daemon closed the connection; has it ended"),
        (b'{"type": "done"', "the daemon closed the connection; has it ended"),
        (b"rubbish\n", "can't be read; is it of another version"),
        (b'{"type": "later"}\n', "can't be read; is it of another version"),
    ],
)
def test_a_daemon_that_makes_no_sense(folder: Path, says: bytes, expected: str) -> None:
    with misbehaving(folder / "s", says), pytest.raises(UnreachableError, match=expected):
        request(folder / "s", Status())


def test_a_daemon_that_hangs(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()
        with pytest.raises(UnreachableError, match=r"does not answer within 0\.01 s"):
            request(folder / "s", Status(), timeout_s=0.01)


def test_an_explanation_travels_unchanged() -> None:
    from engine import Connection, Engine, SessionDescription
    from policylang import parse_policy

    policy = parse_policy("monitor-policy { score-interface eth* 5 }").policy
    assert policy is not None
    connection = Connection(
        proto="tcp", local_address="10.0.0.5", local_port=1, remote_address="10.0.0.6", remote_port=22
    )
    explanation = Engine(policy).explain(SessionDescription(id="x", connections=(connection,)), 0.0)
    answer = decode_answer(encode(messages.ExplanationReport.of(explanation)))
    assert isinstance(answer, messages.ExplanationReport)
    assert answer.read() == explanation


def every_user_exists() -> bool:
    """Return whether this process can become any user: root, and not in a small user namespace."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[2] == "4294967295"


OTHER_USER = f"""
import os, sys
from pathlib import Path
from migrated.control import client, messages
os.setgroups([])
os.setgid({A_USER})
os.setuid({A_USER})
path = Path(sys.argv[1])
def ask(message):
    try:
        print(client.request(path, message))
    except client.RefusedError as error:
        print(error.code, error)
for message in (
    messages.Sessions(),
    messages.Move(session="aa11", link="eth1"),
    messages.Move(session="ab", link="eth1"),
    messages.Status(),
):
    ask(message)
"""


@pytest.mark.skipif(
    not every_user_exists(),
    reason="cannot become another user here; test_control_permission.py tests the rule itself",
)
def test_another_ordinary_user(running: RunningServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OTHER_USER, str(running.path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    sessions, others, own, status = done.stdout.splitlines()
    assert "ab22" in sessions
    assert "aa11" not in sessions
    assert others == "permission session `aa11` belongs to another user"
    assert own.startswith("Done(")
    assert status.startswith("StatusReport(")
    assert running.handler.moved == [Move(session="ab", link="eth1")]


def test_the_answer_to_sessions_has_only_ones_own(
    running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Credentials, "privileged", False)
    answer = request(running.path, Sessions())
    assert isinstance(answer, SessionList)
    assert [session.id for session in answer.sessions] == ["aa11"]
