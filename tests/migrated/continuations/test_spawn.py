"""Processes are started as the user whom they came from, with everything that they had, and nothing more."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

from migrated.continuations import spawn
from migrated.continuations.bounds import Sender, StartRefusedError
from sessionlayer.continuations.values import Process

TELL = """
import json, os, signal, socket
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status"))
told = {
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
    "umask": status["Umask"], "nice": os.getpriority(os.PRIO_PROCESS, 0), "directory": os.getcwd(),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "environment": dict(os.environ),
    "leader": os.getsid(0) == os.getpid(),
    "descriptors": {}, "capabilities": [status["Cap" + name] for name in ("Inh", "Prm", "Eff", "Amb")],
}
for name in os.listdir("/proc/self/fd"):
    try: told["descriptors"][name] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError: pass
socket.socket(fileno=int(os.environ["MIGRATE_CONT"])).send(json.dumps(told).encode())
"""

ME = Process(
    argv=(sys.executable, "-I", "-S", "-c", TELL),
    environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "NAME": "a b=c"},
    directory="/",
    uid=os.getuid(),
    euid=os.geteuid(),
    gid=os.getgid(),
    egid=os.getegid(),
    groups=tuple(os.getgroups()),
    umask=0o27,
    nice=3,
    blocked_signals=(signal.SIGUSR1, signal.SIGRTMIN + 1),
)
NOBODY = msgspec.structs.replace(
    ME,
    argv=("/usr/bin/python3", *ME.argv[1:]),
    uid=65534,
    euid=65534,
    gid=65534,
    egid=65534,
    groups=(100, 65533),
)


def sender_of(process: Process) -> Sender:
    return Sender(
        pid=77, uid=process.euid, gid=process.egid, groups=frozenset({process.gid, *process.groups})
    )


def _every_user_is_here() -> bool:
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


needs_users = pytest.mark.skipif(
    not (_every_user_is_here() and Path("/usr/bin/python3").exists()),
    reason="needs root, other users and a Python that they may start",
)


def told_by(process: Process, sender: Sender | None = None, **standard: int) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            started = await spawn.start(
                process, sender or sender_of(process), theirs.fileno(), standard=standard
            )
            assert await started.wait() == 0
            return {"number": str(theirs.fileno()), **json.loads(ours.recv(65536, socket.MSG_DONTWAIT))}

    return asyncio.run(run())


def check(told: dict[str, Any], process: Process) -> None:
    assert told["environment"] == process.environment | {"MIGRATE_CONT": told["number"], "MIGRATE_PID": "77"}
    assert (told["directory"], told["umask"]) == (process.directory, f"{process.umask:04o}")
    assert told["blocked"] == sorted(process.blocked_signals)
    assert sorted(told["groups"]) == sorted(process.groups)
    assert told["leader"]
    # Python's own look at the folder of descriptors is the one that is left out.
    seen = {name: link for name, link in told["descriptors"].items() if not link.startswith("/proc/")}
    assert set(seen) == {"0", "1", "2", told["number"]}


def test_it_is_what_it_was() -> None:
    told = told_by(ME)
    check(told, ME)
    assert told["uids"] == [ME.uid] * 3
    assert told["nice"] == max(3, os.getpriority(os.PRIO_PROCESS, 0))
    assert [told["descriptors"][name] for name in "012"] == ["/dev/null"] * 3


@needs_users
def test_it_belongs_to_its_user_and_has_no_capability() -> None:
    told = told_by(NOBODY)
    check(told, NOBODY)
    assert told["uids"] == [65534] * 3
    assert told["gids"] == [65534] * 3
    assert [int(capabilities, 16) for capabilities in told["capabilities"]] == [0] * 4


@needs_users
def test_roots_program_may_have_two_users() -> None:
    process = msgspec.structs.replace(NOBODY, uid=0)
    told = told_by(process, Sender(pid=77, uid=0, gid=0, groups=frozenset()))
    check(told, process)
    assert told["uids"] == [0, 65534, 65534]


@needs_users
def test_a_daemon_that_is_not_root_hands_no_capability_on() -> None:
    told: list[list[str]] = []

    def as_another_user() -> None:
        # Only this thread's: capabilities outlive the change of user and are ambient, as systemd does it.
        libc = spawn._libc
        libc.prctl(8, 1, 0, 0, 0)
        libc.syscall(SETRESUID, 65534, 65534, 65534)
        header = spawn._CAPABILITY_HEADER.pack(spawn._CAPABILITY_VERSION, 0)
        sets = spawn._CAPABILITY_SETS.pack(1 << 13, 1 << 13, 1 << 13, 0, 0, 0)
        assert libc.capset(header, sets) == 0
        assert libc.prctl(47, 2, 13, 0, 0) == 0
        ambient = next(
            line for line in Path("/proc/thread-self/status").read_text().splitlines() if "CapAmb" in line
        )
        mine = msgspec.structs.replace(ME, argv=CAT, uid=65534, euid=65534)
        process = spawn._start_here(mine, 0, {"stdout": -1})
        output, _ = process.communicate()
        told.append([ambient.split()[1], *(line.split()[1] for line in output.decode().splitlines())])

    thread = threading.Thread(target=as_another_user)
    thread.start()
    thread.join()
    ambient_before, *after = told[0]
    assert int(ambient_before, 16) == 1 << 13
    assert [int(capabilities, 16) for capabilities in after] == [0] * 4


SETRESUID = {"x86_64": 117}.get(os.uname().machine, 147)
CAT = ("sh", "-c", "grep -E 'Cap(Inh|Prm|Eff|Amb)' /proc/self/status")


@pytest.mark.parametrize(("wanted", "sender", "expected"), [(-5, 1000, 0), (5, 1000, 5), (-5, 0, 0)])
def test_its_nice_value_is_no_better_than_ours(wanted: int, sender: int, expected: int) -> None:
    process = msgspec.structs.replace(ME, nice=wanted)
    told = told_by(process, Sender(pid=77, uid=sender, gid=0, groups=frozenset()) if not sender else None)
    assert told["nice"] == max(expected, os.getpriority(os.PRIO_PROCESS, 0))


def test_the_daemons_own_thread_stays_as_it_is() -> None:
    before = (
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        os.getpriority(os.PRIO_PROCESS, 0),
        os.umask(0o22),
    )
    told_by(ME)
    assert before == (
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        os.getpriority(os.PRIO_PROCESS, 0),
        os.umask(before[2]),
    )


def test_standard_descriptors_can_be_given(tmp_path: Path) -> None:
    script = f"import sys; sys.stdout.write(sys.stdin.read()); sys.stdout.flush();{TELL}"
    process = msgspec.structs.replace(ME, argv=(*ME.argv[:-1], script))
    (tmp_path / "in").write_text("read")
    with (tmp_path / "in").open() as source, (tmp_path / "out").open("w") as sink:
        told = told_by(process, stdin=source.fileno(), stdout=sink.fileno())
    assert (tmp_path / "out").read_text() == "read"
    assert told["descriptors"]["2"] == "/dev/null"


def test_the_program_is_looked_up_in_its_own_path(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{TELL}")
    program.chmod(0o755)
    environment = {"PATH": f"/nowhere:{tmp_path}"}
    process = msgspec.structs.replace(ME, argv=("program",), environment=environment)
    assert told_by(process)["environment"]["PATH"] == environment["PATH"]


def refused(process: Process, arguments: Sequence[str] = ()) -> str:
    with pytest.raises(StartRefusedError) as info:
        told_by(msgspec.structs.replace(process, argv=tuple(arguments)) if arguments else process)
    return str(info.value)


def test_what_fails_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    gone = msgspec.structs.replace(ME, directory=str(tmp_path / "gone"))
    assert (
        refused(ME, ["/no/such"])
        == f"`/no/such` can't be started as user {ME.uid}: no such file or directory (`/no/such`)"
    )
    assert "permission denied" in refused(ME, [str(plain)])
    plain.chmod(0o755)
    assert "exec format error" in refused(ME, [str(plain)])
    assert refused(gone).endswith(f"no such file or directory (`{tmp_path}/gone`)")


@needs_users
def test_its_directory_is_one_that_its_user_can_reach() -> None:
    with TemporaryDirectory() as folder:
        private, inner = Path(folder) / "private", Path(folder) / "private" / "inner"
        Path(folder).chmod(0o755)
        inner.mkdir(parents=True)
        inner.chmod(0o777)
        there = msgspec.structs.replace(NOBODY, directory=str(inner))
        private.chmod(0o700)
        assert refused(there).endswith(f"permission denied (`{inner}`)")
        os.chown(private, 0, NOBODY.groups[0])
        private.chmod(0o710)
        check(told_by(there), there)
        inner.chmod(0o755)
        private.chmod(0o755)
        inner.chmod(0o766)
        assert "permission denied" in refused(there)


def test_a_fork_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess._fork_exec", fail)
    assert refused(ME).endswith("resource temporarily unavailable")


def test_without_the_right_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "missing_for_other_users", lambda: ("CAP_SETUID",))
    other = msgspec.structs.replace(ME, uid=4711, euid=4711, gid=4711, egid=4711, groups=())
    assert "may not start programs as user 4711: CAP_SETUID missing" in refused(other)
    with pytest.raises(StartRefusedError, match="CAP_SETUID missing"):
        spawn.check_start(other, sender_of(other))
    check(told_by(ME), ME)


def test_an_end_by_a_signal_is_told() -> None:
    async def run() -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            sleeper = msgspec.structs.replace(ME, argv=("sleep", "60"), blocked_signals=())
            started = await spawn.start(sleeper, sender_of(ME), theirs.fileno())
            os.kill(started.pid, signal.SIGTERM)
            return await started.wait()

    assert asyncio.run(run()) == -signal.SIGTERM
