from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitors.dbus import ANSWER_LIMIT_S, NEWS_LIMIT
from monitors.metered import MeteredSettings
from monitors.networkmanager import RESTART_S
from monitors.services import BusError, follow
from monitors.settings import read
from monitors.sleep import JUMP_S, WOKEN_S, SleepSettings
from tests.monitors.test_dbus import tell

DOCUMENT = (Path(__file__).parents[2] / "docs" / "monitors.md").read_text()


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "monitor", "kind"),
    [("What links cost", "metered", MeteredSettings), ("Sleep", "sleep", SleepSettings)],
)
def test_the_settings_in_the_document_are_ones(
    title: str, monitor: str, kind: type[MeteredSettings] | type[SleepSettings]
) -> None:
    (source,) = re.findall(r"```toml\n(.*?)```", section(title), re.DOTALL)
    assert read(tomllib.loads(source)["monitors"][monitor], kind) is not None


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("What links cost", f"for {RESTART_S:g} s more"),
        ("Sleep", f"for {WOKEN_S:g} s after"),
        ("Sleep", f"`delay = {SleepSettings().delay}`".strip("`")),
        ("Sleep", f"more than {JUMP_S:g} s"),
        ("D-Bus", f"within {ANSWER_LIMIT_S:g} s"),
        ("D-Bus", f"({NEWS_LIMIT:,} signals"),
    ],
)
def test_the_document_has_the_numbers_of_the_code(title: str, said: str) -> None:
    assert said in " ".join(section(title).split())


def test_follow_tries_again_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitors.services.LOOK_AGAIN_S", 0.0)
    caplog.set_level("INFO", "monitors.services")

    class EnoughError(Exception):
        pass

    heard: list[object] = []

    async def readings() -> AsyncIterator[int]:
        yield 7
        raise BusError("no bus")

    def lost(error: BusError) -> None:
        heard.append(str(error))
        if len(heard) == 6:
            raise EnoughError

    with pytest.raises(EnoughError):
        tell(follow(readings, heard.append, lost))  # type: ignore[arg-type]
    assert heard == [7, "no bus"] * 3
    assert [record.message for record in caplog.records] == ["no bus; tried again every 0 s"]
