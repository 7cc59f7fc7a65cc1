"""What an open descriptor needs to be given up and made again."""

from migrated.resources.bundle import released_connections
from migrated.resources.collection import Collected, Resources, Restored
from migrated.resources.discovery import discover
from migrated.resources.spec import (
    Descriptor,
    Keep,
    Owner,
    ResourceError,
    ResourceHandler,
    ResourceLostError,
    Resumed,
    Suspended,
    hookimpl,
)

__all__ = [
    "Collected",
    "Descriptor",
    "Keep",
    "Owner",
    "ResourceError",
    "ResourceHandler",
    "ResourceLostError",
    "Resources",
    "Restored",
    "Resumed",
    "Suspended",
    "discover",
    "hookimpl",
    "released_connections",
]
