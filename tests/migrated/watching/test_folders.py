from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from migrated.watching.folders import FolderWatch, Hint
from migrated.watching.survey import survey

HEARD_S = 60.0
SILENCE_S = 0.2


class Hearing:
    """What a watch tells of."""

    def __init__(self, pattern: str) -> None:
        self.hints: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        self.watch = FolderWatch(self.hints.put)
        self.pattern = pattern
        self.listen()

    def listen(self) -> None:
        self.watch.listen(survey([self.pattern]).folders)

    def next(self) -> Hint:
        return self.hints.get(timeout=HEARD_S)

    def until(self, hint: Hint) -> None:
        while self.next() != hint:
            pass

    def is_silent(self) -> bool:
        try:
            self.hints.get(timeout=SILENCE_S)
        except queue.Empty:
            return True
        return False


@contextmanager
def hearing(pattern: str) -> Iterator[Hearing]:
    heard = Hearing(pattern)
    try:
        yield heard
    finally:
        heard.watch.close()


def test_a_file_is_half_written_until_it_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "a.policy"
    with hearing(f"{tmp_path}/*.policy") as heard:
        with file.open("w") as opened:
            assert heard.next() == Hint(path=str(file))
            opened.write("x")
            opened.flush()
            assert heard.next() == Hint(path=str(file), being_written=True)
        assert heard.next() == Hint(path=str(file))


def test_names_that_do_not_count_and_reading_are_not_told_of(tmp_path: Path) -> None:
    file = tmp_path / "a.policy"
    file.write_text("x")
    with hearing(f"{tmp_path}/*.policy") as heard:
        (tmp_path / "notes.txt").write_text("x")
        file.read_text()
        list(tmp_path.iterdir())
        assert heard.is_silent()


def test_a_rename_is_told_of_at_once(tmp_path: Path) -> None:
    """Not half a second later, as by who waits for the other half of a move."""
    took_s = []
    with hearing(f"{tmp_path}/*.policy") as heard:
        for number in range(5):
            file = tmp_path / f"{number}.policy"
            (tmp_path / "new").write_text("x")
            (tmp_path / "new").rename(file)
            heard.until(Hint(path=str(file)))
            begun = time.monotonic()
            file.rename(tmp_path / "aside")
            assert heard.next() == Hint(path=str(file))
            took_s.append(time.monotonic() - begun)
    assert min(took_s) < 0.4  # the smallest: the machine may be busy with something else


def test_a_folder_that_is_made_again_is_listened_to_again(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    with hearing(f"{folder}/*.policy") as heard:
        for _ in range(3):
            folder.rmdir()
            heard.until(Hint(path=str(folder)))
            folder.mkdir()
            heard.until(Hint(path=str(folder)))
            heard.listen()
            (folder / "a.policy").touch()
            heard.until(Hint(path=f"{folder}/a.policy"))
            (folder / "a.policy").unlink()
            heard.until(Hint(path=f"{folder}/a.policy"))


def inotify_descriptors() -> set[int]:
    """Return the descriptors of this process that are inotify's."""
    links = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor of this look
            links[int(path.name)] = str(path.readlink())
    return {number for number, link in links.items() if link == "anon_inode:inotify"}


def test_programs_that_are_started_do_not_listen_along(tmp_path: Path) -> None:
    before = inotify_descriptors()
    with hearing(f"{tmp_path}/*.policy"):
        (number,) = inotify_descriptors() - before
        assert not os.get_inheritable(number)
    assert inotify_descriptors() == before


def test_after_its_end_it_listens_to_nothing(tmp_path: Path) -> None:
    with hearing(f"{tmp_path}/*.policy") as heard:
        pass
    while not heard.hints.empty():
        heard.next()  # that the folders are let go
    heard.listen()
    (tmp_path / "a.policy").touch()
    assert heard.is_silent()


def test_a_folder_that_is_closed_to_us_is_passed_over(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "closed").mkdir(mode=0o100)
    with hearing(f"{tmp_path}/closed/a.policy") as heard:
        assert heard.is_silent()
