"""The prometheus monitor and the real server."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType

import pytest

from monitors.events import FactMeasured
from monitors.testing import Recorder, check_monitor

PLUGIN = Path(__file__).parents[2] / "examples" / "plugins" / "prometheus"
PROMETHEUS = shutil.which("prometheus")
PATIENCE_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a server that collects nothing; return its port."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error")
    assert PROMETHEUS is not None
    process = subprocess.Popen([PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_ready(port):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except ConnectionRefusedError:
        return False
    finally:
        connection.close()


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(PLUGIN))
    yield importlib.import_module("migrate_prometheus")
    del sys.modules["migrate_prometheus"]


def test_it_asks_all_kinds_of_queries(server: int, plugin: ModuleType) -> None:
    queries = {
        "scalar": plugin.Query(query="1 + 1"),
        "vector": plugin.Query(query="vector(7)", unit="%"),
        "nothing": plugin.Query(query="no_such_metric"),
        "links": plugin.Query(
            query='label_replace(vector(3), "device", "eth0", "", "")', link_label="device"
        ),
    }
    settings = plugin.Settings(url=f"http://127.0.0.1:{server}", queries=queries)
    recorder = asyncio.run(check_monitor(lambda: plugin.PrometheusMonitor(settings), run_s=1.0))
    measured = [event for event in recorder.events if isinstance(event, FactMeasured)]
    assert {(event.fact, event.interface, event.value) for event in measured} == {
        ("prometheus.scalar", "", 2.0),
        ("prometheus.vector", "", 7.0),
        ("prometheus.links", "eth0", 3.0),
    }


def test_a_query_with_a_mistake_is_named(server: int, plugin: ModuleType) -> None:
    queries = {"odd": plugin.Query(query="sum(")}
    settings = plugin.Settings(url=f"http://127.0.0.1:{server}", queries=queries)
    with pytest.raises(plugin.QueryError, match=r"the query `odd`: bad_data: .*parse error"):
        asyncio.run(plugin.PrometheusMonitor(settings).run(Recorder()))
