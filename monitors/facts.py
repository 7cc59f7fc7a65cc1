"""The vocabulary of facts: what monitors can measure, by name, type, unit and subject."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Subject(Enum):
    """What a fact is about."""

    LINK = "link"
    CONNECTION = "connection"
    SESSION = "session"
    HOST = "host"


class FactType(Enum):
    """The type of a fact's value."""

    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A named, typed measurement. ``unit`` is empty where the value has none."""

    name: str
    type: FactType
    unit: str
    subject: Subject
    summary: str


CARRIER = Fact(
    name="carrier",
    type=FactType.FLAG,
    unit="",
    subject=Subject.LINK,
    summary="whether the cable or radio is connected",
)
OPERSTATE = Fact(
    name="operstate",
    type=FactType.TEXT,
    unit="",
    subject=Subject.LINK,
    summary="the operational state that the driver reports (RFC 2863)",
)
ADDRESS = Fact(
    name="address",
    type=FactType.TEXT,
    unit="",
    subject=Subject.LINK,
    summary="the local address of the attachment point",
)
