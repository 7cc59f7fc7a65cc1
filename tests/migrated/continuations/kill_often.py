"""Kill a writer again and again in the midst of its work, and look at what is left each time.

Started by `test_store_crash` as ``python -m tests.migrated.continuations.kill_often FOLDER KILLS``: a process
of its own, so that every writer is a fork that has imported everything already, of a parent without threads.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

from migrated.continuations.store import ContinuationStore, StoredContinuation
from tests.migrated.continuations.samples import HOST_KEY, stored

SESSIONS = 12
LONGEST = 8

State = dict[bytes, StoredContinuation]
Change = tuple[list[StoredContinuation], list[bytes]]


def changes(seed: int) -> Iterator[Change]:
    """Yield what the writer of this seed does, without end: what it saves together, or removes together."""
    random = Random(seed)
    version = seed * 1_000_000
    while True:
        version += 1
        numbers = random.sample(range(SESSIONS), random.randint(1, 5))
        if random.random() < 0.25:
            yield [], [number.to_bytes(16, "big") for number in numbers]
        else:
            # Resources that do not shrink, of a page and of many: overflow pages and checkpoints are met too.
            size = random.choice((10, 5_000, 60_000))
            yield [stored(n, version=version, resources=random.randbytes(size)) for n in numbers], []


def write_for_ever(folder: Path, seed: int, acknowledgements: int) -> None:
    store = ContinuationStore(folder, HOST_KEY)
    for saved, removed in changes(seed):
        if saved:
            store.save(saved)
        else:
            store.remove(removed)
        os.write(acknowledgements, b".")


def killed_writer(folder: Path, seed: int, random: Random) -> int:
    """Let a writer work until it is killed; return how many changes it had acknowledged."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        write_for_ever(folder, seed, writing)
    os.close(writing)
    acknowledged = sum(len(os.read(reading, 1)) for _ in range(random.randint(0, LONGEST)))
    for _ in range(random.randint(0, 60_000)):
        pass  # up to some milliseconds into whatever it does then; a sleep would wait for a tick
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while data := os.read(reading, 4096):
        acknowledged += len(data)
    os.close(reading)
    return acknowledged


def after(state: State, seed: int, count: int) -> State:
    """Return what ``state`` is after so many changes of the writer of this seed."""
    state = dict(state)
    for (saved, removed), _ in zip(changes(seed), range(count), strict=False):
        state.update({continuation.session_id: continuation for continuation in saved})
        for session_id in removed:
            state.pop(session_id, None)
    return state


def found(folder: Path) -> State:
    store = ContinuationStore(folder, HOST_KEY)
    assert store.altered == frozenset(), "a row was torn"
    loaded = {session_id: store.load(session_id) for session_id in store.entries}
    store.close()
    return {
        session_id: continuation for session_id, continuation in loaded.items() if continuation is not None
    }


def main(folder: Path, kills: int) -> None:
    random = Random(7)
    state: State = {}
    unacknowledged = 0
    for seed in range(kills):
        acknowledged = killed_writer(folder, seed, random)
        left = found(folder)
        expected = [after(state, seed, acknowledged + more) for more in (0, 1)]
        assert left in expected, f"kill {seed}: neither before nor after change {acknowledged + 1}"
        unacknowledged += left != expected[0]
        state = left
    sys.stdout.write(f"{kills} kills, {unacknowledged} between a change and its acknowledgement\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
