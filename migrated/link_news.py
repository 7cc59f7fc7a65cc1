"""Tell people of links that come and go, and of a host that sleeps and wakes up."""

from __future__ import annotations

import logging
from typing import Final

from migrated.journal import Journal
from monitors.events import AddressPresent, Event, FactMeasured, LinkState
from monitors.facts import ASLEEP, WOKEN

_OF_THE_HOST: Final = {ASLEEP.name: "falling-asleep", WOKEN.name: "woken"}


class LinkNews:
    """Tells of links; addresses are told of as the links that they make usable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._usable: dict[str, bool] = {}

    def take_in(self, event: Event) -> None:
        """Tell of what a monitor reports, if it is news."""
        match event:
            case LinkState() if self._usable.get(event.interface) != event.usable:
                known = event.interface in self._usable
                self._usable[event.interface] = event.usable
                if known or event.usable:
                    self._journal.tell("link-up" if event.usable else "link-down", link=event.interface)
            case AddressPresent():
                self._journal.tell(
                    "address-present", level=logging.DEBUG, link=event.label, address=event.address
                )
            case FactMeasured(fact=fact, value=True) if fact in _OF_THE_HOST:
                self._journal.tell(_OF_THE_HOST[fact])
            case _:
                pass
