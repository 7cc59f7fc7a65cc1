"""Descriptors of all kinds are suspended and made again, all of them or none."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrated.resources import (
    Collected,
    Descriptor,
    Keep,
    Owner,
    ResourceError,
    ResourceLostError,
    Resources,
    Restored,
    Resumed,
    Suspended,
    discover,
)

ME = Owner(uid=os.geteuid(), gid=os.getegid())


@pytest.fixture
def resources() -> Resources:
    return discover(plugins=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("0123456789")
    return path


def collect(resources: Resources, *descriptors: int) -> Collected:
    names = [f"d{position}" for position in range(len(descriptors))]
    return resources.collect(names, descriptors, ME, {})


def suspended(resources: Resources, *descriptors: int) -> Collected:
    """Suspend descriptors, of which only those that are kept stay open."""
    collected = collect(resources, *descriptors)
    collected.release()
    assert all(is_open(number) == (number in collected.kept) for number in descriptors)
    return collected


def restored(resources: Resources, collected: Collected) -> Restored:
    return resources.restore(collected.state, collected.kept, ME)


def is_open(number: int) -> bool:
    return Path(f"/proc/self/fd/{number}").is_symlink()


def open_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def close(result: Restored) -> None:
    for number in result.descriptors:
        os.close(number)


def test_duplicates_collapse(resources: Resources) -> None:
    reader, writer = os.pipe()
    collected = suspended(resources, reader, os.dup(reader), writer, os.dup(writer), os.dup(reader))
    assert collected.kept == (reader, writer)
    result = restored(resources, collected)
    assert result.names == ("d0", "d1", "d2", "d3", "d4")
    os.write(result.descriptors[3], b"abc")
    assert [os.read(result.descriptors[place], 1) for place in (0, 1, 4)] == [b"a", b"b", b"c"]
    close(result)


def test_one_descriptor_of_a_file_is_enough(resources: Resources, file: Path) -> None:
    reading, appending = os.open(file, os.O_RDONLY), os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    both = os.open(file, os.O_RDWR | os.O_NONBLOCK)
    os.lseek(reading, 3, os.SEEK_SET)
    os.lseek(both, 7, os.SEEK_SET)
    collected = suspended(resources, reading, appending, both)
    assert collected.kept == (reading,)
    result = restored(resources, collected)
    assert result.reports == ()
    assert os.read(result.descriptors[0], 2) == b"34"
    os.write(result.descriptors[1], b"!")
    assert os.read(result.descriptors[2], 9) == b"789!"
    assert not os.get_blocking(result.descriptors[2])
    assert os.get_blocking(result.descriptors[1])
    assert file.read_text() == "0123456789!"
    close(result)


def test_what_is_locked_stays_open(resources: Resources, file: Path) -> None:
    first, second = os.open(file, os.O_RDONLY), os.open(file, os.O_RDWR)
    fcntl.flock(second, fcntl.LOCK_EX)
    collected = suspended(resources, first, second)
    assert collected.kept == (first, second)
    result = restored(resources, collected)
    third = os.open(file, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert result.descriptors == (first, second)
    os.close(third)
    close(result)


def renamed(file: Path) -> None:
    file.rename(file.with_name("other"))


def deleted(file: Path) -> None:
    file.unlink()


def replaced(file: Path) -> None:
    successor = file.with_name("successor")
    successor.write_text("another one")
    successor.rename(file)


def truncated(file: Path) -> None:
    os.truncate(file, 4)


CHANGES = {
    renamed: "was renamed to",
    deleted: "was deleted; the session goes on with it",
    replaced: "was replaced; the session goes on with the old one",
    truncated: "was truncated from 10 to 4 bytes",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_happened_to_a_file_is_reported(resources: Resources, file: Path, change: object) -> None:
    number, again = os.open(file, os.O_RDONLY), os.open(file, os.O_RDONLY)
    os.lseek(again, 2, os.SEEK_SET)
    collected = suspended(resources, number, again)
    assert callable(change)
    change(file)
    result = restored(resources, collected)
    assert [f"descriptor `d{place}`" in report for place, report in enumerate(result.reports)] == [True, True]
    assert all(CHANGES[change] in report for report in result.reports)
    assert os.read(result.descriptors[0], 3) == b"012"
    assert os.read(result.descriptors[1], 2) == b"23"
    close(result)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_was_not_kept_must_be_the_same(resources: Resources, file: Path, change: object) -> None:
    number = os.open(file, os.O_RDONLY)
    os.lseek(number, 2, os.SEEK_SET)
    collected = suspended(resources, number)
    os.close(number)  # the daemon was ended
    assert callable(change)
    change(file)
    if change is truncated:
        result = resources.restore(collected.state, (), ME)
        assert "was truncated" in result.reports[0]
        assert os.read(result.descriptors[0], 9) == b"23"
        close(result)
    else:
        with pytest.raises(ResourceLostError, match=r"`d0`: the file .* (deleted or renamed|replaced)"):
            resources.restore(collected.state, (), ME)


def test_a_folder_is_opened_again(resources: Resources, tmp_path: Path) -> None:
    number = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    collected = suspended(resources, number)
    os.close(number)
    result = resources.restore(collected.state, (), ME)
    assert os.fstat(result.descriptors[0]).st_ino == tmp_path.stat().st_ino
    close(result)


def test_a_file_without_a_name_can_be_shared(resources: Resources, tmp_path: Path) -> None:
    first = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    second = os.open(f"/proc/self/fd/{first}", os.O_RDWR)
    os.write(first, b"secret")
    collected = suspended(resources, first, second)
    assert collected.kept == (first,)
    result = restored(resources, collected)
    assert os.read(result.descriptors[1], 9) == b"secret"
    close(result)


def test_terminals_get_their_window_size_back(resources: Resources) -> None:
    controller, terminal = pty.openpty()
    size = struct.pack("HHHH", 40, 132, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    collected = suspended(resources, controller, terminal, os.dup(terminal))
    assert collected.kept == (controller, terminal)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 1, 1, 0, 0))
    os.write(terminal, b"shown")
    result = restored(resources, collected)
    assert os.read(result.descriptors[0], 9) == b"shown"
    assert os.get_terminal_size(result.descriptors[2]) == (132, 40)
    close(result)


def test_other_descriptors_are_kept(resources: Resources, tmp_path: Path) -> None:
    one, other = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    event = os.eventfd(3)
    reference = os.open(tmp_path, os.O_PATH)
    numbers = (one.detach(), listener.detach(), fifo, event, reference)
    collected = suspended(resources, *numbers)
    assert collected.kept == numbers
    result = restored(resources, collected)
    assert result.descriptors == numbers
    assert os.eventfd_read(event) == 3
    other.close()
    assert os.read(result.descriptors[0], 1) == b""
    close(result)


def test_what_only_the_daemon_held_is_lost_with_it(resources: Resources) -> None:
    reader, writer = os.pipe()
    controller, terminal = pty.openpty()
    for number, reason in ((reader, "pipe.* was lost when the daemon ended"), (terminal, "the terminal")):
        collected = collect(resources, number)
        with pytest.raises(ResourceLostError, match=f"`d0`: .*{reason}"):
            resources.restore(collected.state, (), ME)
    for number in (reader, writer, controller, terminal):
        os.close(number)


def test_all_or_none(resources: Resources, file: Path) -> None:
    reader, writer = os.pipe()
    numbers = (os.open(file, os.O_RDONLY), os.open(file, os.O_RDONLY), reader)
    collected = suspended(resources, *numbers)
    before = open_count()
    with pytest.raises(ResourceLostError):
        resources.restore(collected.state, collected.kept[:1], ME)
    assert open_count() == before
    close(restored(resources, collected))
    os.close(writer)


def test_what_is_there_is_not_made_again(resources: Resources, file: Path) -> None:
    first, second = (os.open(file, os.O_RDONLY) for _ in range(2))
    collected = suspended(resources, first, second)
    there = os.open("/", os.O_RDONLY)
    file.unlink()
    with pytest.raises(ResourceLostError):
        resources.restore(collected.state, (), ME, {"d1": there})
    assert is_open(there)
    result = resources.restore(collected.state, collected.kept, ME, {"d1": there})
    assert result.descriptors == (first, there)
    close(result)


def test_nothing_changes_before_the_release(resources: Resources, file: Path) -> None:
    numbers = (os.open(file, os.O_RDONLY), os.open(file, os.O_RDONLY))
    collected = collect(resources, *numbers)
    collected.withdraw()
    assert [os.read(number, 2) for number in numbers] == [b"01", b"01"]
    for number in numbers:
        os.close(number)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(b"", "damaged"), (b"\x92\x01\xa1x", "damaged"), (b"\x92\x02\x90", "format 2"), (b"\x90", "damaged")],
)
def test_damaged_records_are_refused(resources: Resources, state: bytes, reason: str) -> None:
    with pytest.raises(ResourceError, match=reason):
        resources.restore(state, (), ME)


@given(data=st.binary(max_size=200), cut=st.integers(0, 400), place=st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_no_record_does_harm(data: bytes, cut: int, place: int) -> None:
    resources = discover(plugins=False)
    reader, writer = os.pipe()
    number, again = os.open("/", os.O_RDONLY), os.dup(reader)
    state = collect(resources, reader, again, number).state
    os.close(number)
    os.close(again)
    broken = state[: cut % len(state)] + data + state[place % len(state) :]
    before = open_count()
    try:
        result = resources.restore(broken, (reader,), ME)
    except ResourceError:
        assert open_count() == before
    else:
        for made in set(result.descriptors) - {reader}:
            os.close(made)
    finally:
        os.close(reader)
        os.close(writer)


class Broken:
    kind = "broken"

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        if descriptor.name == "d0":
            raise ValueError("a mistake in the plugin")
        return Suspended(state=b"", keep=Keep.ITSELF)

    def give_up(self, descriptor: int) -> None: ...

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        raise ResourceError("no such device")

    def forget(self, state: bytes) -> None: ...


def test_a_plugin_that_fails_is_passed_over(caplog: pytest.LogCaptureFixture, resources: Resources) -> None:
    handlers = [Broken(), *resources._handlers.values()]
    numbers = os.pipe()
    collected = collect(Resources(handlers), *numbers)
    assert "a mistake in the plugin" in caplog.text
    with pytest.raises(ResourceError, match="`d1`: no such device"):
        Resources(handlers).restore(collected.state, collected.kept, ME)
    with pytest.raises(ResourceError, match="install the plugin"):
        restored(resources, collected)
    for number in numbers:
        os.close(number)


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = open_count()
    yield
    assert open_count() == before
