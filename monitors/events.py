"""What monitors say: frozen events, and nothing else.

An event describes the state after a change, never a difference, so that hearing
one twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from monitors.facts import FactValue


class OperState(Enum):
    """The operational state of an interface (RFC 2863, ``IFLA_OPERSTATE``)."""

    UNKNOWN = "unknown"
    NOT_PRESENT = "not-present"
    DOWN = "down"
    LOWER_LAYER_DOWN = "lower-layer-down"
    TESTING = "testing"
    DORMANT = "dormant"
    UP = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """An interface exists and is in this state.

    ``up`` is the administrative flag, ``carrier`` what the cable or radio says.
    """

    interface: str
    index: int
    up: bool
    carrier: bool
    operstate: OperState
    loopback: bool = False

    @property
    def usable(self) -> bool:
        """Return whether packets can leave: up, with carrier, and not said to be down by the driver."""
        return self.up and self.carrier and self.operstate in (OperState.UP, OperState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGone:
    """An interface was deleted or left this network namespace."""

    interface: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPresent:
    """A local address is configured.

    ``label`` is the address's label (``eth0:1``) or the interface's name;
    ``usable`` is false for tentative, failed and deprecated addresses and for
    those of host or link scope. ``address`` is in canonical text form, ``family`` 4 or 6.
    """

    interface: str
    index: int
    label: str
    address: str
    prefix_length: int
    family: int
    usable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGone:
    """A local address was removed."""

    interface: str
    index: int
    address: str
    family: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FactMeasured:
    """A fact has this value; ``None`` means that it is known no longer.

    Attributes:
        fact: The fact's name, as in ``monitors.facts``.
        value: In the fact's own type and unit.
        interface: Of facts about links and paths: the interface's name.
        peer: Of facts about paths: the peer's address, in canonical text form.
        session: Of facts about sessions and connections: the session's name.
        connection: Of facts about connections: what tells those of one session apart.
        lifetime_s: How many seconds after it was measured the value is known no longer; ``None`` for never.
        measured_at: When it was measured, on the event loop's clock, in seconds; ``None`` for now. The host
            fills it in, so that whoever hears of it knows how old it is.
    """

    fact: str
    value: FactValue | None
    interface: str = ""
    peer: str = ""
    session: str = ""
    connection: str = ""
    lifetime_s: float | None = None
    measured_at: float | None = None


NetworkEvent = LinkState | LinkGone | AddressPresent | AddressGone
Event = NetworkEvent | FactMeasured
