from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitors.services import BusError, follow
from tests.monitors.test_dbus import tell


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
