from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from monitors.usage import LINKS_MAX, MONTHS_KEPT, Counted, Record
from monitors.usage_file import FILE_NAME, SIZE_MAX, DamagedError, UsageFile
from tests.processes import killed_at_last

RECORD = Record(
    boot="a3317fbb-4aa9-4014-849e-1a3c3b40682f",
    links={"eth0": Counted(2, 17, 4), "wlan☕": Counted(3, 0, (1 << 63) - 1)},
    months={"2026-10": {}, "2026-11": {"eth0": 21}},
)
GOOD = {
    "format": 1,
    "record": {"boot": "b", "links": {"eth0": {"index": 2, "received": 1, "sent": 1}}, "months": {}},
}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = UsageFile(tmp_path / "not" / "there")
    assert file.load() is None
    file.save(RECORD)
    assert UsageFile(tmp_path / "not" / "there").load() == RECORD
    assert list(RECORD.months) == list((file.load() or RECORD).months)  # their order says which was used last


def test_only_its_owner_reads_it_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    UsageFile(tmp_path).save(RECORD)
    UsageFile(tmp_path).save(RECORD)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_the_largest_record_is_far_from_too_large(tmp_path: Path) -> None:
    names = [f"{number:☕>15}" for number in range(LINKS_MAX)]
    large = (1 << 63) - 1
    months = {f"2026-0{month}": dict.fromkeys(names, large) for month in range(MONTHS_KEPT)}
    UsageFile(tmp_path).save(
        Record(boot="b" * 36, links={name: Counted(large, large, large) for name in names}, months=months)
    )
    assert (tmp_path / FILE_NAME).stat().st_size < SIZE_MAX / 2
    assert UsageFile(tmp_path).load() is not None


def changed(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


DAMAGE = {
    "empty": b"",
    "cut off": changed()[:-7],
    "no text": b"\xff\x00\xfe",
    "another program's": b"<xml/>",
    "another format": changed(format=2),
    "more than is known": changed(more=1),
    "less than nothing": json.dumps(GOOD).replace('"sent": 1', '"sent": -1').encode(),
    "beyond all bounds": json.dumps(GOOD).replace('"sent": 1', '"sent": ' + "9" * 400).encode(),
    "no number": json.dumps(GOOD).replace('"sent": 1', '"sent": true').encode(),
    "deep": b'{"format":1,"record":{"boot":"b","links":' + b"[" * 200_000,
    "too long": b" " * (SIZE_MAX + 1) + changed(),
}


def test_the_example_is_good(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(changed())
    assert UsageFile(tmp_path).load() == Record(boot="b", links={"eth0": Counted(2, 1, 1)}, months={})


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_kept_aside(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(data)
    file = UsageFile(tmp_path)
    with pytest.raises(DamagedError, match=f"{FILE_NAME}.damaged-1") as caught:
        file.load()
    assert str(tmp_path / FILE_NAME) in str(caught.value)
    assert (tmp_path / f"{FILE_NAME}.damaged-1").read_bytes() == data
    assert file.load() is None


def test_each_damaged_file_is_kept(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / FILE_NAME).write_bytes(b"%d" % number)
        with pytest.raises(DamagedError, match=f"damaged-{number}"):
            UsageFile(tmp_path).load()
    assert (tmp_path / f"{FILE_NAME}.damaged-2").read_bytes() == b"2"


def test_a_file_that_cannot_be_written_keeps_the_last_one(tmp_path: Path) -> None:
    file = UsageFile(tmp_path)
    file.save(RECORD)
    (tmp_path / FILE_NAME).with_suffix(".new").mkdir()
    with pytest.raises(IsADirectoryError):
        file.save(Record(boot="", links={}, months={}))
    assert file.load() == RECORD


def test_two_threads_that_save_do_not_meet(tmp_path: Path) -> None:
    """A monitor that is ended while a thread of its own saves does so itself."""
    file = UsageFile(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        for saved in [threads.submit(file.save, RECORD) for _ in range(100)]:
            saved.result()
    assert file.load() == RECORD


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / FILE_NAME).with_suffix(".new").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        UsageFile(tmp_path).save(RECORD)
    assert (tmp_path / "precious").read_text() == "precious"


WRITER = """
import itertools, sys
from pathlib import Path
from monitors.usage import Counted, Record
from monitors.usage_file import UsageFile
file = UsageFile(Path(sys.argv[1]))
for number in itertools.count():
    links = {f"eth{n}": Counted(n, number, number) for n in range(200)}
    file.save(Record(boot="b", links=links, months={}))
    print(number, flush=True)
"""


def test_a_program_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    started = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    with killed_at_last(started) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            last = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
    record = UsageFile(tmp_path).load()
    assert record is not None
    assert len({link.received for link in record.links.values()}) == 1
    assert record.links["eth0"].received >= int(rest[-1] if rest else last)
