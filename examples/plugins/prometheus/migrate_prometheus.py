"""The prometheus monitor: what a Prometheus server answers to queries of your own, each of them a fact.

Every ``interval`` it asks each query. A query is about the host, or about each link if it says in which label
the link's name is. What has no answer, or one that is no finite number, is not known.

Source: the Prometheus documentation, HTTP API, instant queries.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec
from msgspec import Meta, Struct

from monitors.events import FactMeasured
from monitors.facts import Fact, FactType, Subject
from monitors.settings import read
from monitors.spec import Monitor, NotAvailableError, Report, SettingsError, hookimpl
from monitors.surroundings import Surroundings

NAME: Final = "prometheus"
TIMEOUT_S: Final = 5.0
ANSWER_MAX: Final = 1 << 20
"""Bytes that are read of an answer."""

_QUERY_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_GOOD: Final = 200
_SERVER_FAILS: Final = 500


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """A query in PromQL, the unit of its value, what it means, and the label that has the name of a link."""

    query: str
    unit: Literal["", "s", "%", "dbm", "bit/s", "byte"] = ""
    summary: str = "what Prometheus says"
    link_label: str = ""


class Settings(Struct, frozen=True):
    """What ``[monitors.prometheus]`` may say: the server, how often in seconds, and the queries by name."""

    url: str = "http://127.0.0.1:9090"
    interval: Annotated[float, Meta(ge=1)] = 15.0
    queries: dict[str, Query] = {}


class Sample(Struct, frozen=True):
    """One value of a vector: its labels, the time and the number as text."""

    metric: dict[str, str]
    value: tuple[float, str]


class Data(Struct, frozen=True, rename={"kind": "resultType"}):
    """The result of a query, by its kind."""

    kind: str
    result: msgspec.Raw


class Answer(Struct, frozen=True, rename={"error_type": "errorType"}):
    """What the server says."""

    status: Literal["success", "error"]
    data: Data | None = None
    error_type: str = ""
    error: str = ""


class QueryError(Exception):
    """A query can't be answered as it is; the message says why, for people."""


Fetch = Callable[[str], tuple[int, bytes]]
"""Takes a query; returns the status and the body of the server's answer. It blocks. Raises ``OSError``."""


def fetch_from(url: str) -> Fetch:
    """Return what asks a server.

    Raises:
        SettingsError: that is no address of a server.
    """
    parts = _split(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection

    def fetch(query: str) -> tuple[int, bytes]:
        connection = kind(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/api/v1/query?{urlencode({'query': query})}")
            response = connection.getresponse()
            return response.status, response.read(ANSWER_MAX)
        except HTTPException as error:
            raise ConnectionError(f"it speaks no HTTP: {error!r}") from error
        finally:
            connection.close()

    return fetch


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port, or an address in brackets, that is none
        good = False
    if not good:
        raise SettingsError(f'`url` is "{url}"; expected one like "http://127.0.0.1:9090"')
    return parts


def values_of(body: bytes, query: Query) -> dict[str, float | None]:
    """Return the values that an answer has: by link, or one under the empty name.

    Raises:
        QueryError: the server refuses the query, or its answer is of another shape.
    """
    try:
        return _of_answer(msgspec.json.decode(body, type=Answer), query)
    except ValueError as error:
        raise QueryError(f"the answer is none of Prometheus: {error}") from error


def _of_answer(answer: Answer, query: Query) -> dict[str, float | None]:
    if answer.data is None:
        raise QueryError(f"{answer.error_type}: {answer.error}")
    match answer.data.kind:
        case "scalar":
            _, text = msgspec.json.decode(answer.data.result, type=tuple[float, str])
            return {"": number(text)}
        case "vector":
            return _of_vector(msgspec.json.decode(answer.data.result, type=list[Sample]), query)
        case kind:
            raise QueryError(f"it gives a {kind}; ask for an instant vector or a scalar")


def _of_vector(samples: list[Sample], query: Query) -> dict[str, float | None]:
    if not query.link_label:
        if len(samples) > 1:
            raise QueryError(f"it gives {len(samples)} values; aggregate them, or name a `link_label`")
        return {"": number(samples[0].value[1]) if samples else None}
    links = [sample.metric.get(query.link_label, "") for sample in samples]
    if len(set(links)) < len(links):
        raise QueryError(f"it gives several values for one `{query.link_label}`; aggregate them")
    return {link: number(sample.value[1]) for link, sample in zip(links, samples, strict=True) if link}


def number(text: str) -> float | None:
    """Return a value as Prometheus writes it; nothing if it is not a finite number."""
    value = float(text)
    return value if math.isfinite(value) else None


def fact_of(name: str, query: Query) -> Fact:
    """Return the fact that a query is."""
    return Fact(
        name=f"{NAME}.{name}",
        type=FactType.NUMBER,
        unit=query.unit,
        subject=Subject.LINK if query.link_label else Subject.HOST,
        summary=query.summary,
        monitor=NAME,
    )


class PrometheusMonitor:
    """Report what a Prometheus server answers.

    Args:
        settings: the server and the queries.
        fetch: asks it; by default over HTTP.
        sleep: waits for as many seconds.
    """

    name = NAME

    def __init__(
        self,
        settings: Settings,
        fetch: Fetch | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.facts: tuple[Fact, ...] = tuple(fact_of(*item) for item in settings.queries.items())
        self._settings = settings
        self._fetch = fetch or fetch_from(settings.url)
        self._sleep = sleep
        self._known: set[tuple[str, str]] = set()

    async def run(self, report: Report) -> None:
        """Report the answers, again and again, until cancelled.

        Raises:
            NotAvailableError: there are no queries, or no server that answers.
            QueryError: a query can't be answered as it is.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        if not self._settings.queries:
            raise NotAvailableError("`[monitors.prometheus.queries]` has none")
        while True:
            for name, query in self._settings.queries.items():
                for event in self._events(f"{NAME}.{name}", await self._ask(name, query, report)):
                    report(event)
            await self._sleep(self._settings.interval)

    async def _ask(self, name: str, query: Query, report: Report) -> Mapping[str, float | None]:
        try:
            status, body = await asyncio.to_thread(self._fetch, query.query)
        except OSError as error:
            self._forget(report)
            raise NotAvailableError(f"{self._settings.url} does not answer: {error}") from error
        if status >= _SERVER_FAILS:
            self._forget(report)
            raise NotAvailableError(f"{self._settings.url} answers with the status {status}")
        try:
            return values_of(body, query)
        except QueryError as error:
            raise QueryError(f"the query `{name}`: {error}") from None

    def _events(self, fact: str, values: Mapping[str, float | None]) -> Iterator[FactMeasured]:
        """Yield what is known, to be repeated before it expires, and once what is known no longer."""
        gone = {link for known, link in self._known if known == fact and values.get(link) is None}
        for link in sorted(gone):
            yield FactMeasured(fact=fact, value=None, interface=link)
            self._known.discard((fact, link))
        for link, value in values.items():
            if value is not None:
                lifetime_s = 3 * self._settings.interval
                yield FactMeasured(fact=fact, value=value, interface=link, lifetime_s=lifetime_s)
                self._known.add((fact, link))

    def _forget(self, report: Report) -> None:
        for fact, _ in sorted(self._known):
            for event in self._events(fact, {}):
                report(event)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> list[Monitor]:
    """Offer the monitor, with a fact for each query of its settings.

    Raises:
        SettingsError: a setting is wrong, or a query can't be called so.
    """
    settings = read(surroundings.settings(NAME), Settings)
    for name in settings.queries:
        if not _QUERY_NAME.fullmatch(name):
            raise SettingsError(f"a query can't be called `{name}`; use a name like `dns-errors`")
    return [PrometheusMonitor(settings)]
