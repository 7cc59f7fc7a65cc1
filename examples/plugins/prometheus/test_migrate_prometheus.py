"""The prometheus monitor, with a server that answers as the documentation of Prometheus says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from migrate_prometheus import (
    PrometheusMonitor,
    Query,
    QueryError,
    Settings,
    fetch_from,
    migrate_monitors,
    values_of,
)

from monitors.events import FactMeasured
from monitors.facts import Subject
from monitors.spec import NotAvailableError, SettingsError
from monitors.testing import FakeClock, FakeSurroundings, Recorder, check_monitor

LOSS = Query(query="avg(loss)", unit="%")
QUEUE = Query(query="queue", unit="byte", link_label="device")


def success(kind: str, result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


def vector(*samples: tuple[str, str]) -> bytes:
    """Return an answer with a value for each device."""
    return success("vector", [{"metric": {"device": name}, "value": [1.5, text]} for name, text in samples])


REFUSED = json.dumps({"status": "error", "errorType": "bad_data", "error": "parse error"}).encode()


class Server:
    """A Prometheus whose answers a test sets, by query."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {LOSS.query: (200, vector(("", "2.5")))}
        self.there = True

    def fetch(self, query: str) -> tuple[int, bytes]:
        if not self.there:
            raise ConnectionRefusedError(111, "Connection refused")
        return self.answers[query]

    def vanish(self) -> None:
        self.there = False

    def come_back(self) -> None:
        self.there = True


def monitor_of(server: Server, clock: FakeClock | None = None, **queries: Query) -> PrometheusMonitor:
    settings = Settings(interval=1.0, queries=queries or {"loss": LOSS})
    return PrometheusMonitor(settings, server.fetch, clock.sleep if clock else asyncio.sleep)


def loss(value: float | None) -> FactMeasured:
    return FactMeasured(fact="prometheus.loss", value=value, lifetime_s=None if value is None else 3.0)


def queue(link: str, value: float | None) -> FactMeasured:
    lifetime_s = None if value is None else 3.0
    return FactMeasured(fact="prometheus.queue", value=value, interface=link, lifetime_s=lifetime_s)


def test_it_keeps_the_contract() -> None:
    server = Server()
    recorder = asyncio.run(
        check_monitor(
            lambda: PrometheusMonitor(
                Settings(interval=1.0, queries={"loss": LOSS}), server.fetch, lambda _: asyncio.sleep(0.02)
            ),
            vanish=server.vanish,
            come_back=server.come_back,
        )
    )
    assert set(recorder.events) == {loss(2.5)}


def test_links_that_have_no_value_any_more_are_not_known() -> None:
    async def story() -> None:
        server, clock, recorder = Server(), FakeClock(), Recorder()
        server.answers[QUEUE.query] = (200, vector(("eth0", "10"), ("wlan0", "20"), ("", "30")))
        task = asyncio.create_task(monitor_of(server, clock, queue=QUEUE).run(recorder))
        await recorder.wait_for(lambda event: event == queue("wlan0", 20.0))
        server.answers[QUEUE.query] = (200, vector(("eth0", "11"), ("wlan0", "NaN")))
        await clock.advance(1.0)
        await recorder.wait_for(lambda event: event == queue("eth0", 11.0))
        await clock.advance(1.0)
        server.vanish()
        await clock.advance(1.0)
        with pytest.raises(NotAvailableError, match="does not answer"):
            await task
        assert recorder.events[:4] == [
            queue("eth0", 10.0),
            queue("wlan0", 20.0),
            queue("wlan0", None),
            queue("eth0", 11.0),
        ]
        assert recorder.events[-1] == queue("eth0", None)
        assert recorder.events.count(queue("wlan0", None)) == 1

    asyncio.run(story())


def test_without_queries_it_is_not_available() -> None:
    with pytest.raises(NotAvailableError, match="has none"):
        asyncio.run(PrometheusMonitor(Settings()).run(Recorder()))


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((400, REFUSED), QueryError, "the query `loss`: bad_data: parse error"),
        ((200, vector(("a", "1"), ("b", "2"))), QueryError, "the query `loss`: it gives 2 values; aggregate"),
        ((200, success("matrix", [])), QueryError, "it gives a matrix; ask for an instant vector"),
        ((200, b"<html>"), QueryError, "the answer is none of Prometheus"),
        ((200, success("scalar", [1, 2])), QueryError, "the query `loss`: the answer is none of Prometheus"),
        ((200, vector(("", "much"))), QueryError, "the answer is none of Prometheus: could not convert"),
        ((503, b""), NotAvailableError, "answers with the status 503"),
    ],
)
def test_what_is_wrong_is_told(answer: tuple[int, bytes], error: type[Exception], message: str) -> None:
    server = Server()
    server.answers[LOSS.query] = answer
    with pytest.raises(error, match=message):
        asyncio.run(monitor_of(server).run(Recorder()))


def test_answers() -> None:
    assert values_of(success("scalar", [1.5, "7"]), LOSS) == {"": 7.0}
    assert values_of(success("vector", []), LOSS) == {"": None}
    assert values_of(vector(("", "+Inf")), LOSS) == {"": None}
    with pytest.raises(QueryError, match="several values for one `device`"):
        values_of(vector(("eth0", "1"), ("eth0", "2")), QUEUE)


def test_each_query_is_a_fact() -> None:
    table = {"queries": {"dns-errors": {"query": "x"}, "queue": {"query": "q", "link_label": "device"}}}
    (monitor,) = migrate_monitors(FakeSurroundings({"prometheus": table}))
    assert [(fact.name, fact.subject) for fact in monitor.facts] == [
        ("prometheus.dns-errors", Subject.HOST),
        ("prometheus.queue", Subject.LINK),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"queries": {"DNS": {"query": "x"}}}, "a query can't be called `DNS`"),
        ({"queries": {"dns": {"query": "x", "unit": "m/s"}}}, "unit"),
        ({"url": "localhost:9090"}, 'expected one like "http://127.0.0.1:9090"'),
        ({"url": "http://localhost:90900"}, "`url` is "),
        ({"url": "http://[::1"}, "`url` is "),
        ({"urls": "x"}, "did you mean `url`"),
        ({"interval": 0.5}, "of at least 1"),
    ],
)
def test_wrong_settings_are_told(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        migrate_monitors(FakeSurroundings({"prometheus": table}))


@contextmanager
def http_server() -> Iterator[tuple[str, list[str]]]:
    """Serve one answer to every query; yield the address, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(vector(("", "2.5")))

        def log_message(self, *_: Any) -> None:  # noqa: ANN401
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/below/", asked
        server.shutdown()
        thread.join()


def test_it_asks_over_http() -> None:
    with http_server() as (url, asked):
        status, body = fetch_from(url)("sum(rate(x[5m])) > 0")
    assert (status, values_of(body, LOSS)) == (200, {"": 2.5})
    parts = urlsplit(asked[0])
    assert (parts.path, parse_qs(parts.query)) == ("/below/api/v1/query", {"query": ["sum(rate(x[5m])) > 0"]})


def test_a_server_that_is_not_there_is_an_os_error() -> None:
    with http_server() as (url, _):
        fetch = fetch_from(url)
    with pytest.raises(OSError, match="refused"):
        fetch("up")
