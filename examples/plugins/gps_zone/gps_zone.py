"""The gps-zone monitor: in which zone the host is, how fast it moves, and whether its receiver knows.

It is told by gpsd, which sends a report for each fix. Rules: a zone is entered at its radius and left
``margin`` metres further out, so that a receiver's noise moves nobody; where zones overlap the first in the
configuration counts. Values are repeated before they expire, and are unknown when there is no fix.

Source: gpsd_json(5), the classes VERSION, WATCH and TPV.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from monitors.events import FactMeasured
from monitors.facts import Fact, FactType, FactValue, Subject
from monitors.settings import read
from monitors.spec import Monitor, NotAvailableError, Report, SettingsError, hookimpl
from monitors.surroundings import Surroundings

NAME: Final = "gps-zone"
ZONE: Final = f"{NAME}.zone"
ELSEWHERE: Final = "elsewhere"
"""What the zone is called where none of the configured ones is."""

LIFETIME_S: Final = 30.0
AGAIN_S: Final = 10.0
"""Seconds for which a value counts, and after which it is said again."""

QUIET_S: Final = 15.0
"""Seconds without a report after which the receiver is taken to be gone."""

SPEED_STEP: Final = 1.0
"""By how many metres a second a speed must differ from what was said last."""

EARTH_M: Final = 6_371_000.0
LINE_MAX: Final = 1 << 16
TWO_DIMENSIONS: Final = 2
"""The least ``mode`` of a report that has a position."""

WATCH: Final = b'?WATCH={"enable":true,"json":true};\n'

_ZONE_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Zone(Struct, frozen=True, forbid_unknown_fields=True):
    """A circle: its middle in degrees, its radius in metres."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    radius: Annotated[float, Meta(gt=0)]


class Settings(Struct, frozen=True):
    """What ``[monitors.gps-zone]`` may say: where gpsd listens, the zones by name, the margin in metres."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535)] = 2947
    margin: Annotated[float, Meta(ge=0)] = 20.0
    zones: dict[str, Zone] = {}


class Head(Struct, frozen=True):
    """What every object of gpsd's has."""

    kind: str = field(name="class")


class Fix(Struct, frozen=True):
    """What counts of a TPV object: degrees, and metres a second. Much of it may be missing."""

    mode: int = 0
    lat: float | None = None
    lon: float | None = None
    speed: float | None = None


def own_fact(name: str, kind: FactType, summary: str, choices: tuple[str, ...] = ()) -> Fact:
    """Return a fact of this monitor's, about the host."""
    return Fact(
        name=name,
        type=kind,
        unit="",
        subject=Subject.HOST,
        summary=summary,
        monitor=NAME,
        choices=choices,
    )


SPEED: Final = own_fact(f"{NAME}.speed", FactType.NUMBER, "how fast the host moves, in metres a second")
FIX: Final = own_fact(f"{NAME}.fix", FactType.FLAG, "whether the receiver knows where it is")


def zone_fact(zones: Mapping[str, Zone]) -> Fact:
    """Return the fact that is the zone: a policy can name those that are configured, and no others."""
    return own_fact(ZONE, FactType.TEXT, "the zone in which the host is", (*zones, ELSEWHERE))


class Tracker:
    """Where the host is, and what was said of it. Time is a parameter, in seconds.

    The methods are generators: an event counts as reported when the caller comes back for the next one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._zone: str | None = None
        self._said: dict[str, tuple[FactValue | None, float]] = {}

    def receive(self, fix: Fix, now: float) -> Iterator[FactMeasured]:
        """Yield what is to be reported because of a fix."""
        if fix.mode < TWO_DIMENSIONS or fix.lat is None or fix.lon is None:
            self._zone = None
            yield from self._settle({FIX.name: False, ZONE: None, SPEED.name: None}, now)
            return
        self._zone = self._zone_at(fix.lat, fix.lon)
        values: dict[str, FactValue | None] = {FIX.name: True, ZONE: self._zone}
        values[SPEED.name] = self._steady(fix.speed)
        yield from self._settle(values, now)

    def lose(self, now: float) -> Iterator[FactMeasured]:
        """Yield that nothing is known any more."""
        self._zone = None
        yield from self._settle(dict.fromkeys(self._said), now)

    def _zone_at(self, latitude: float, longitude: float) -> str:
        for name, zone in self._settings.zones.items():
            margin = self._settings.margin if name == self._zone else 0.0
            if distance_m(latitude, longitude, zone.latitude, zone.longitude) <= zone.radius + margin:
                return name
        return ELSEWHERE

    def _steady(self, speed: float | None) -> float | None:
        said = self._said.get(SPEED.name, (None, 0.0))[0]
        if speed is not None and isinstance(said, float) and abs(speed - said) < SPEED_STEP:
            return said
        return speed

    def _settle(self, values: Mapping[str, FactValue | None], now: float) -> Iterator[FactMeasured]:
        for name, value in values.items():
            said, at = self._said.get(name, (None, -math.inf))
            expiring = value is not None and now >= at + AGAIN_S
            if value == said and not expiring:
                continue
            lifetime_s = None if value is None else LIFETIME_S
            yield FactMeasured(fact=name, value=value, lifetime_s=lifetime_s)
            self._said[name] = (value, now)


def distance_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the distance of two places (degrees) on a globe, in metres: the haversine formula."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half_phi = (other_phi - phi) / 2
    half_lambda = math.radians(other_longitude - longitude) / 2
    h = math.sin(half_phi) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_lambda) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(h)))


class GpsZoneMonitor:
    """Report the zone, the speed and whether there is a fix, as gpsd tells them.

    Args:
        settings: where gpsd is, and the zones.
    """

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self.facts: tuple[Fact, ...] = (zone_fact(settings.zones), SPEED, FIX)
        self._settings = settings
        self._tracker = Tracker(settings)

    async def run(self, report: Report) -> None:
        """Report where the host is, then every change, until cancelled.

        Raises:
            NotAvailableError: no gpsd answers.
            ConnectionError: gpsd ended the conversation.
            ValueError: it says what is no JSON.
            MailboxFullError: ``report`` did not take an event; the next run reports it.
        """
        try:
            reader, writer = await asyncio.open_connection(
                self._settings.host, self._settings.port, limit=LINE_MAX
            )
        except OSError as error:
            place = f"{self._settings.host} port {self._settings.port}"
            raise NotAvailableError(f"no gpsd answers on {place}: {error.strerror or error}") from error
        with closing(writer):
            writer.write(WATCH)
            while True:
                await self._next(reader, report)

    async def _next(self, reader: asyncio.StreamReader, report: Report) -> None:
        """Take one object in, or notice that none comes."""
        try:
            async with asyncio.timeout(QUIET_S):
                line = await reader.readline()
        except TimeoutError:
            self._lose(report)
            return
        if not line:
            self._lose(report)
            raise ConnectionError("gpsd ended the conversation")
        if msgspec.json.decode(line, type=Head).kind == "TPV":
            fix = msgspec.json.decode(line, type=Fix)
            for event in self._tracker.receive(fix, asyncio.get_running_loop().time()):
                report(event)

    def _lose(self, report: Report) -> None:
        for event in self._tracker.lose(asyncio.get_running_loop().time()):
            report(event)


@hookimpl
def migrate_monitors(surroundings: Surroundings) -> list[Monitor]:
    """Offer the monitor, with the zones of its settings.

    Raises:
        SettingsError: a setting is wrong, or a zone can't be called so.
    """
    settings = read(surroundings.settings(NAME), Settings)
    for name in settings.zones:
        if name == ELSEWHERE or not _ZONE_NAME.fullmatch(name):
            raise SettingsError(f"a zone can't be called `{name}`; use a name like `home-port`")
    return [GpsZoneMonitor(settings)]
