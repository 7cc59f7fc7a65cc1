"""Holding programs still, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from migrated.kernel import ptrace
from migrated.kernel.errors import RebindError
from migrated.kernel.ptrace import held_still, let_late_ones_go
from tests.processes import killed_at_last

PATIENCE_S = 60.0
STOP_DEADLINE_S = ptrace.STOP_DEADLINE_S
TRACER = f"""
import os, sys; sys.path[:0] = {sys.path!r}
from migrated.kernel import ptrace
from migrated.kernel.ptrace import held_still, let_late_ones_go
ptrace.STOP_DEADLINE_S = {PATIENCE_S}
"""

THREADS = """
import threading, time
def spin():
    while True: time.sleep(0.001)
for _ in range(5): threading.Thread(target=spin, daemon=True).start()
print("ready", flush=True)
spin()
"""
FORKS = """
import os, time
print("ready", flush=True)
while True:
    pid = os.fork()
    if pid == 0:
        time.sleep(0.005); os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads stop when a busy machine lets them."""
    monkeypatch.setattr(ptrace, "STOP_DEADLINE_S", PATIENCE_S)


def start(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    process = start(request.param)
    yield process
    process.kill()
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None:  # as long as we trace a thread that did not stop in time
        assert time.monotonic() < deadline
        let_late_ones_go()
    assert process.stdout is not None
    process.stdout.close()


def states(pid: int) -> set[str]:
    return {state(thread) for thread in Path(f"/proc/{pid}/task").iterdir()}


def state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


def wait_for_running(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while "t" in states(pid):
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_all_threads_stand_still_and_go_on(process: subprocess.Popen[str]) -> None:
    for _ in range(10):
        with held_still([process.pid]):
            assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 6
            assert states(process.pid) == {"t"}
        wait_for_running(process.pid)
    assert process.poll() is None


@pytest.mark.alone
@pytest.mark.parametrize("process", [THREADS, FORKS], indirect=True)
def test_a_program_stops_as_soon_as_it_must(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine may keep a thread from stopping in time, but not whenever it is tried."""
    monkeypatch.setattr(ptrace, "STOP_DEADLINE_S", STOP_DEADLINE_S)
    deadline = time.monotonic() + PATIENCE_S
    stopped = False
    while not stopped:
        assert time.monotonic() < deadline
        let_late_ones_go()
        with suppress(RebindError), held_still([process.pid]):
            stopped = True


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_a_thread_that_stopped_in_time_counts_though_we_look_late(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_wait, real_time = os.waitpid, time.monotonic
    passed_s = 0.0

    def wait(thread: int, options: int) -> tuple[int, int]:
        nonlocal passed_s
        if passed_s:
            return real_wait(thread, options)
        deadline = real_time() + PATIENCE_S
        while state(Path(f"/proc/{process.pid}/task/{thread}")) != "t":
            assert real_time() < deadline
        # It stopped a moment after the look, and then we were the ones who could not run.
        passed_s = 2 * PATIENCE_S
        return 0, 0

    monkeypatch.setattr(os, "waitpid", wait)
    monkeypatch.setattr(time, "monotonic", lambda: real_time() + passed_s)
    with held_still([process.pid]):
        assert states(process.pid) == {"t"}


@pytest.mark.parametrize("process", [FORKS], indirect=True)
def test_children_that_are_forked_meanwhile_stand_still_too(process: subprocess.Popen[str]) -> None:
    with_children = 0
    for _ in range(50):
        with held_still([process.pid]) as held:
            assert process.pid in held
            with_children += len(held) > 1
            for pid in held - {process.pid}:
                assert states(pid) <= {"t", "Z", "X"}
        time.sleep(0.002)
    assert with_children
    assert process.poll() is None


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_an_error_inside_lets_the_program_go_on(process: subprocess.Popen[str]) -> None:
    with pytest.raises(ZeroDivisionError), held_still([process.pid]):
        _ = 1 / 0
    wait_for_running(process.pid)


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_a_traced_program_is_refused_with_its_tracer(process: subprocess.Popen[str]) -> None:
    code = f"""{TRACER}
with held_still([{process.pid}]):
    print("ready", flush=True); sys.stdin.read()
"""
    tracer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert tracer.stdout is not None
    assert tracer.stdout.readline() == "ready\n"
    with (
        pytest.raises(RebindError, match=f"process {tracer.pid} traces it already"),
        held_still([process.pid]),
    ):
        pass
    tracer.communicate("")
    wait_for_running(process.pid)


def test_a_process_that_is_gone_holds_nobody_up() -> None:
    process = start(THREADS)
    process.kill()
    process.communicate()
    with held_still([process.pid]):
        pass


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_a_program_goes_on_when_its_tracer_is_killed(process: subprocess.Popen[str]) -> None:
    code = f"""{TRACER}
with held_still([{process.pid}]):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    wait_for_running(process.pid)
    assert process.poll() is None


@pytest.mark.parametrize("process", [THREADS], indirect=True)
def test_the_parent_of_a_program_that_is_killed_meanwhile_hears_of_its_end(
    process: subprocess.Popen[str],
) -> None:
    """A tracer that does not wait for the end of a tracee keeps it from the parent while it lives."""
    code = f"""{TRACER}
with held_still([{process.pid}]):
    print("ready", flush=True)
    sys.stdin.readline()
while sys.stdin.readline():
    let_late_ones_go()
"""
    tracer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert tracer.stdin is not None
    assert tracer.stdout is not None
    with killed_at_last(tracer):
        assert tracer.stdout.readline() == "ready\n"
        process.kill()
        deadline = time.monotonic() + PATIENCE_S
        while states(process.pid) != {"Z"}:
            assert time.monotonic() < deadline
        while process.poll() is None:
            assert time.monotonic() < deadline
            tracer.stdin.write("\n")
            tracer.stdin.flush()
            time.sleep(0.01)
