from __future__ import annotations

import os

import pytest

from sessionlayer.application.memory import read_memory, write_memory


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_what_is_written_is_read_wherever_the_offset_is(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    descriptor = write_memory(data[:size])
    assert read_memory(descriptor, size) == data[:size]
    os.lseek(descriptor, size, os.SEEK_SET)
    assert read_memory(descriptor, size) == data[:size]
    os.close(descriptor)


def test_it_can_not_be_changed_and_is_not_inherited() -> None:
    descriptor = write_memory(b"sealed")
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 0)
    with pytest.raises(PermissionError):
        os.truncate(descriptor, 1)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_too_much_is_not_read() -> None:
    descriptor = write_memory(bytes(11))
    with pytest.raises(ValueError, match="11 bytes is larger than 10"):
        read_memory(descriptor, 10)
    os.close(descriptor)
