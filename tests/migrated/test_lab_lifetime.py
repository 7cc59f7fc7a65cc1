from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from migrated.lab import Lab, LabError, ensure_privileged, is_privileged, keeper, two_links

netns = pytest.mark.netns
privileged = pytest.mark.skipif(not is_privileged(), reason="run as root or under `unshare -Ur`")

ROOT = Path(__file__).parents[2]
END_LIMIT_S = 60.0

# A program that hides as well as it can: forked twice, in a session of its own, deaf to polite signals.
DEAF = "trap '' TERM HUP INT"
HIDING = f'{DEAF}; setsid sh -c "{DEAF}; sleep 600 & echo started; wait" & wait'

BUILDER = f"""
import os, subprocess, sys, time
from pathlib import Path
from migrated.lab import Lab, ensure_privileged, two_links
ensure_privileged()
with Lab() as lab:
    net = two_links(lab, rtt_s=0.002)
    program = net.server.popen(["sh", "-c", {HIDING!r}], stdout=subprocess.PIPE)
    program.stdout.readline()
    hosts = (net.client, net.router, net.server)
    print(*(host.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino) for host in hosts))
    print(Path(f"/proc/self/task/{{os.getpid()}}/children").read_text())
    forked = "fork" in sys.argv and os.fork() == 0
    if not forked:
        print(sys.argv[1:], flush=True)
    while forked or "stay" in sys.argv:
        time.sleep(0.1)  # a signal that comes just before a sleep is heard after it
"""

# Without any right: a user namespace in which we are nobody special, and an account that is nobody at all.
ORDINARY = {
    "no capabilities": ["unshare", "--user", "--map-user=1000", "--map-group=1000"],
    "nobody": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
}


def network(pid: int | str) -> int | None:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:
        return None


def inside(namespaces: set[int]) -> list[str]:
    """Return the processes that are in any of the namespaces."""
    return [entry.name for entry in Path("/proc").glob("[0-9]*") if network(entry.name) in namespaces]


@contextmanager
def held(namespaces: set[int]) -> Iterator[set[int]]:
    """Keep the namespaces in which something runs, and yield their numbers: nobody else is given those."""
    with ExitStack() as stack:
        kept = set()
        for pid in inside(namespaces):
            with suppress(FileNotFoundError):  # it has ended meanwhile
                namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
                stack.callback(os.close, namespace)
                kept.add(os.fstat(namespace).st_ino)
        yield kept


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + END_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a builder in a session of its own; end it, and the child that it forked, whatever the test says."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as builder:
        try:
            yield builder
        finally:
            with suppress(ProcessLookupError):
                os.killpg(builder.pid, signal.SIGKILL)


def report(builder: subprocess.Popen[str]) -> tuple[set[int], set[str], str]:
    """Return what a builder says: its namespaces, its processes, its arguments."""
    assert builder.stdout is not None
    namespaces, processes, arguments = (builder.stdout.readline() for _ in range(3))
    assert arguments, builder.communicate(
        timeout=END_LIMIT_S
    )  # it did not come that far: show what it complained about
    return set(map(int, namespaces.split())), set(processes.split()), arguments.strip()


def alive(processes: set[str]) -> set[str]:
    """Return those that have not ended; one that ended has no network, even before it is collected."""
    return {pid for pid in processes if network(pid) is not None}


@netns
@privileged
@pytest.mark.parametrize("failure", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_however_the_block_ends(failure: type[BaseException] | None) -> None:
    before = children()
    kept: set[int] = set()
    programs: list[subprocess.Popen[bytes]] = []
    holding = ExitStack()

    def work() -> None:
        with Lab() as lab:
            net = two_links(lab, rtt_s=0.002)
            hosts = (net.client, net.router, net.server)
            seen = {host.call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino) for host in hosts}
            programs.append(net.server.popen(["sh", "-c", HIDING], stdout=subprocess.PIPE))
            assert programs[0].stdout is not None
            programs[0].stdout.readline()
            assert len(inside(seen)) >= 4
            kept.update(holding.enter_context(held(seen)))
            if failure is not None:
                raise failure

    with holding:
        with nullcontext() if failure is None else pytest.raises(failure):
            work()
        assert inside(kept) == []
    assert children() == before
    assert programs[0].returncode == -signal.SIGKILL


@netns
@privileged
def test_nothing_is_left_where_namespaces_take_all_descriptors() -> None:
    before = children()
    with ExitStack() as stack:
        with Lab() as lab:
            program = lab.host("first").popen(["sh", "-c", HIDING], stdout=subprocess.PIPE)
            assert program.stdout is not None
            program.stdout.readline()
            namespace = network(program.pid)
            assert namespace is not None
            kept = stack.enter_context(held({namespace}))
            (keeper,) = children() - before - {str(program.pid)}
            resource.prlimit(int(keeper), resource.RLIMIT_NOFILE, (10, 10))
            with pytest.raises(LabError, match="Too many open files"):
                list(map(lab.host, "0123456789"))
        assert inside(kept) == []


@netns
@privileged
def test_a_sweep_goes_on_after_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process can be opened for a moment."""
    real_open, shortages = os.pidfd_open, iter([errno.EMFILE, errno.ENFILE, errno.ENOMEM])

    def opened(pid: int) -> int:
        for number in shortages:
            raise OSError(number, os.strerror(number))
        return real_open(pid)

    with Lab() as lab:
        host = lab.host("a")
        program = host.popen(["sleep", "600"])
        namespace = host.call(lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        monkeypatch.setattr(os, "pidfd_open", opened)
        keeper._sweep([namespace])
        os.close(namespace)
        assert program.wait(END_LIMIT_S) == -signal.SIGKILL
    assert list(shortages) == []


@netns
@privileged
def test_nothing_is_left_of_a_network_that_cannot_be_built() -> None:
    before = children()
    with pytest.raises(LabError, match="eth0"), Lab() as lab:
        two_links(lab, names=("eth0", "eth0"))
    assert children() == before


@netns
@privileged
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("arguments", [["stay"], ["stay", "fork"]])
def test_nothing_is_left_when_the_builder_is_killed(end: signal.Signals, arguments: list[str]) -> None:
    with running([sys.executable, "-c", BUILDER, *arguments]) as builder:
        namespaces, processes, _ = report(builder)
        assert len(namespaces) == 3
        assert len(inside(namespaces)) >= 4
        assert len(processes) >= 4  # the keeper, two delay lines, the program
        with held(namespaces) as kept:
            builder.send_signal(end)
            assert comes_true(lambda: not inside(kept))
        assert comes_true(lambda: not alive(processes))
        builder.wait(END_LIMIT_S)


@netns
@privileged
def test_a_lab_whose_keeper_died_says_so_and_still_ends() -> None:
    before = children()
    with Lab() as lab:
        program = lab.host("a").popen(["sleep", "600"])
        (keeper,) = children() - before - {str(program.pid)}
        os.kill(int(keeper), signal.SIGKILL)
        os.waitid(os.P_PID, int(keeper), os.WEXITED | os.WNOWAIT)  # so that nobody reads what it is asked
        with pytest.raises(LabError, match="the keeper process has ended"):
            lab.host("b")
    assert children() == before


@netns
@privileged
def test_who_reads_from_a_pipe_that_another_program_holds_keeps_nobody_waiting() -> None:
    with Lab() as lab:
        program = lab.host("a").popen(["sh", "-c", HIDING], stdout=subprocess.PIPE)
        assert program.stdout is not None
        assert program.stdout.readline() == b"started\n"
        reader = threading.Thread(target=program.stdout.read, daemon=True)
        reader.start()
        program.kill()  # `sleep` goes on, and has its output
    reader.join(END_LIMIT_S)
    assert not reader.is_alive()
    assert program.stdout.closed


def interpreter_for(prefix: list[str]) -> str:
    """Return a Python that this user may run; the one in use may lie in somebody's home."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        trial = [*prefix, "env", candidate, "-c", "from typing import Self; import migrated.lab"]
        if subprocess.run(trial, capture_output=True, cwd=ROOT).returncode == 0:
            return candidate
    pytest.skip("no interpreter that such a user may run, or no right to become one")


@netns
@pytest.mark.parametrize("user", ORDINARY)
@pytest.mark.parametrize("arguments", [["a b", "--c"], ["stay"]])
def test_an_ordinary_user_has_a_lab_too(user: str, arguments: list[str]) -> None:
    command = [*ORDINARY[user], interpreter_for(ORDINARY[user]), "-B", "-c", BUILDER, *arguments]
    with running(command) as builder:
        namespaces, processes, said = report(builder)
        assert len(namespaces) == 3
        assert said == str(arguments)
        with held(namespaces) as kept:
            if "stay" in arguments:
                builder.kill()
            assert builder.wait(END_LIMIT_S) == (-signal.SIGKILL if "stay" in arguments else 0)
            assert comes_true(lambda: not inside(kept))
        assert comes_true(lambda: not alive(processes))


@netns
def test_who_has_no_right_is_told_what_to_do() -> None:
    prefix = ORDINARY["no capabilities"]
    script = "from migrated.lab import Lab\nLab().__enter__()"
    done = subprocess.run(
        [*prefix, interpreter_for(prefix), "-c", script], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert "run it as root, under `unshare -Urn`, or call `ensure_privileged()` first" in done.stderr


def test_a_machine_without_user_namespaces_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho unshare failed: not permitted >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("migrated.lab.privilege.is_privileged", lambda: False)
    with pytest.raises(
        LabError, match=r"run the command as root, or allow it .* said: unshare failed: not permitted"
    ):
        ensure_privileged()


def test_a_lab_works_in_its_block_only() -> None:
    with pytest.raises(LabError, match="use `with Lab\\(\\) as lab:`"):
        Lab().host("a")
