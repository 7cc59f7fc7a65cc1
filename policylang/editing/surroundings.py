"""What an editor knows of the host and of the policy's other files, as far as hints need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from policylang.editing.scan import SetDefinition, set_definitions
from policylang.measures import FactSource
from policylang.values import ServicePort


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a text stands.

    Attributes:
        texts: The texts of all files of the same policy, this one included, by name, in the order of reading.
        facts: Tells the facts that it may speak of.
        service_port: Looks up the port of a service.
        interfaces: Returns the names of the attachment points that are present.
        services: The names of services to offer.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    facts: FactSource
    service_port: ServicePort
    interfaces: Callable[[], tuple[str, ...]]
    services: tuple[str, ...] = ()

    def definitions(self) -> dict[str, tuple[str, SetDefinition]]:
        """Return the sets by name, each with the file that defines it; of several definitions the first."""
        found: dict[str, tuple[str, SetDefinition]] = {}
        for file, text in self.texts.items():
            for definition in set_definitions(text):
                found.setdefault(definition.name, (file, definition))
        return found
