"""The vocabulary of facts: what monitors can measure, by name, type, unit and subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Subject(Enum):
    """What a fact is about.

    A ``PATH`` is a link towards one peer: what a probe through a link to a peer's daemon measures.
    """

    HOST = "host"
    LINK = "link"
    PATH = "path"
    SESSION = "session"
    CONNECTION = "connection"


class FactType(Enum):
    """The type of a fact's value: ``float``, ``bool`` or ``str``."""

    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"


FactValue = float | bool | str

UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "": {},
        "s": {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0},
        "%": {"%": 1.0},
        "dbm": {"dbm": 1.0},
        "bit/s": {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9},
        "byte": {"b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
    }
)
"""The unit in which a fact's values are, to the units that people may write and what each counts in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A named, typed measurement.

    Attributes:
        name: How policies call it; all but `STANDARD_FACTS` begin with their monitor's name and a dot.
        type: What its values are.
        unit: A key of `UNITS`: the unit of the values; empty where they have none.
        subject: What it is about.
        summary: One line for people, without a full stop.
        monitor: The name of the monitor that measures it.
        choices: The values of a text that has only these; empty where any will do.
    """

    name: str
    type: FactType
    unit: str
    subject: Subject
    summary: str
    monitor: str
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            units = ", ".join(f"`{unit}`" for unit in UNITS if unit)
            problem = f"`{self.unit}` is no unit; use {units}, or none for a bare number"
            raise ValueError(f"fact `{self.name}`: {problem}")


@dataclass(frozen=True, slots=True)
class FactTable:
    """The facts that a policy may speak of.

    Attributes:
        known: Every fact with a name that means something, by name.
        measured: The names of those that an installed monitor measures.
    """

    known: Mapping[str, Fact] = field(default_factory=dict)
    measured: frozenset[str] = frozenset()

    @classmethod
    def of(cls, installed: Iterable[Fact]) -> FactTable:
        """Return the table of a host whose monitors measure ``installed``; standard facts are known."""
        measured = {fact.name: fact for fact in installed}
        return cls({**STANDARD_FACTS, **measured}, frozenset(measured))


def _number(name: str, unit: str, subject: Subject, monitor: str, summary: str) -> Fact:
    return Fact(name=name, type=FactType.NUMBER, unit=unit, subject=subject, summary=summary, monitor=monitor)


def _flag(name: str, subject: Subject, monitor: str, summary: str) -> Fact:
    return Fact(name=name, type=FactType.FLAG, unit="", subject=subject, summary=summary, monitor=monitor)


def _text(name: str, subject: Subject, monitor: str, summary: str, *choices: str) -> Fact:
    return Fact(
        name=name,
        type=FactType.TEXT,
        unit="",
        subject=subject,
        summary=summary,
        monitor=monitor,
        choices=choices,
    )


CARRIER = _flag("carrier", Subject.LINK, "carrier", "whether the cable or radio is connected")
OPERSTATE = _text(
    "operstate",
    Subject.LINK,
    "carrier",
    "the operational state that the driver reports (RFC 2863)",
    "unknown",
    "not-present",
    "down",
    "lower-layer-down",
    "testing",
    "dormant",
    "up",
)
FLAPS = _number("flaps", "", Subject.LINK, "carrier", "how often the link was lost in the last minute")
ADDRESSES = _number("addresses", "", Subject.LINK, "address", "how many usable addresses the link has")
DEFAULT_ROUTE = _flag("default-route", Subject.LINK, "route", "whether a default route leads out by the link")
REACHABLE = _flag("reachable", Subject.PATH, "route", "whether a route leads to the peer through the link")
HOUR = _number("hour", "", Subject.HOST, "clock", "the hour of the local time, 0 to 23")
WEEKDAY = _text(
    "weekday",
    Subject.HOST,
    "clock",
    "the day of the week, local time",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
METERED = _flag("metered", Subject.LINK, "metered", "whether data over the link costs money")
COST = _number(
    "cost", "", Subject.LINK, "metered", "what data over the link costs, in the unit of your settings"
)
DATA_USED = _number("data-used", "byte", Subject.LINK, "counters", "bytes sent and received this month")
THROUGHPUT = _number("throughput", "bit/s", Subject.LINK, "counters", "what the link carries at present")
WIFI_SIGNAL = _number("wifi.signal", "dbm", Subject.LINK, "wifi", "the strength of the radio signal")
WIFI_SSID = _text("wifi.ssid", Subject.LINK, "wifi", "the name of the wireless network")
RTT = _number("rtt", "s", Subject.PATH, "probe", "the round-trip time to the peer through the link")
LOSS = _number("loss", "%", Subject.PATH, "probe", "how many of the latest probes were not answered")
OUTAGES = _number(
    "outages",
    "",
    Subject.PATH,
    "probe",
    "how often the link failed its peer in the last ten minutes",
)
RTO = _number("rto", "s", Subject.CONNECTION, "tcp", "TCP's retransmission time-out (RFC 6298)")
RETRANSMITS = _number(
    "retransmits", "", Subject.CONNECTION, "tcp", "how often the oldest segment was sent again in vain"
)
KEEPALIVE_AGE = _number(
    "keepalive-age", "s", Subject.SESSION, "keepalive", "time since the program last said that all is well"
)
HEALTHY = _flag("healthy", Subject.SESSION, "keepalive", "what the program last said of its session's health")
PEER_SILENCE = _number(
    "peer-silence", "s", Subject.SESSION, "heartbeat", "time since the peer's daemon was last heard"
)
ON_BATTERY = _flag("on-battery", Subject.HOST, "power", "whether the host runs on its battery")
BATTERY = _number("battery", "%", Subject.HOST, "power", "how full the battery is")
ASLEEP = _flag("asleep", Subject.HOST, "sleep", "whether the host is about to sleep")
WOKEN = _flag("woken", Subject.HOST, "sleep", "whether the host woke up within the last half minute")

STANDARD_FACTS: Mapping[str, Fact] = MappingProxyType(
    {
        fact.name: fact
        for fact in (
            ADDRESSES,
            ASLEEP,
            BATTERY,
            CARRIER,
            COST,
            DATA_USED,
            DEFAULT_ROUTE,
            FLAPS,
            HEALTHY,
            HOUR,
            KEEPALIVE_AGE,
            LOSS,
            METERED,
            ON_BATTERY,
            OPERSTATE,
            OUTAGES,
            PEER_SILENCE,
            REACHABLE,
            RETRANSMITS,
            RTO,
            RTT,
            THROUGHPUT,
            WEEKDAY,
            WIFI_SIGNAL,
            WIFI_SSID,
            WOKEN,
        )
    }
)
"""The facts that have a fixed meaning in every policy, whether or not a monitor for them is installed."""


def is_well_made(fact: object) -> bool:
    """Return whether something is a fact whose fields have the types that they are declared with.

    A plugin has no type checker at run time, and ``type="number"`` looks right.
    """
    if type(fact) is not Fact:
        return False
    kinds: tuple[tuple[object, type], ...] = (
        *((text, str) for text in (fact.name, fact.unit, fact.summary, fact.monitor)),
        (fact.type, FactType),
        (fact.subject, Subject),
        (fact.choices, tuple),
    )
    return all(type(value) is kind for value, kind in kinds) and all(type(c) is str for c in fact.choices)


def is_redefined(fact: Fact) -> bool:
    """Return whether the language has a fact of this name whose values are others.

    Policies are written for many hosts: a name of the language means the same on all of them.
    """
    fixed = STANDARD_FACTS.get(fact.name, fact)
    return (fact.type, fact.unit, fact.subject, fact.choices) != (
        fixed.type,
        fixed.unit,
        fixed.subject,
        fixed.choices,
    )


def own_name(fact: Fact, monitor: str) -> str:
    """Return what a fact is to be called: a name of the language, or one with its monitor's in front.

    Names of the language mean the same everywhere. Of others, two monitors could mean different things by
    one, and a later version of the language a third.
    """
    if fact.name in STANDARD_FACTS or fact.name.startswith(f"{monitor}."):
        return fact.name
    return f"{monitor}.{fact.name.rpartition('.')[2]}"
