"""What programs import: ``import sessionlayer as migrate``.

Names are loaded when they are first used: a continued process is new, and should go on soon.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sessionlayer.application.alone import start_server
    from sessionlayer.application.continuation import Continuation, complete, internal, system
    from sessionlayer.application.entry import (
        aio_session,
        available,
        continued,
        freeze,
        get_session,
        register_attach_handler,
        register_compat_vector,
    )
    from sessionlayer.application.errors import (
        DaemonGoneError,
        MigrateError,
        RefusedError,
        SessionEndedError,
        UnavailableError,
    )
    from sessionlayer.application.functions import function
    from sessionlayer.application.session import Session
    from sessionlayer.application.tags import package_tags, python_tag
    from sessionlayer.continuations.errors import AttributeStoreFullError, ContinuationError
    from sessionlayer.continuations.values import Process, Tag

_HOMES: Final = {
    "AttributeStoreFullError": "sessionlayer.continuations.errors",
    "Continuation": "sessionlayer.application.continuation",
    "ContinuationError": "sessionlayer.continuations.errors",
    "DaemonGoneError": "sessionlayer.application.errors",
    "MigrateError": "sessionlayer.application.errors",
    "Process": "sessionlayer.continuations.values",
    "RefusedError": "sessionlayer.application.errors",
    "Session": "sessionlayer.application.session",
    "SessionEndedError": "sessionlayer.application.errors",
    "Tag": "sessionlayer.continuations.values",
    "UnavailableError": "sessionlayer.application.errors",
    "aio_session": "sessionlayer.application.entry",
    "available": "sessionlayer.application.entry",
    "complete": "sessionlayer.application.continuation",
    "continued": "sessionlayer.application.entry",
    "freeze": "sessionlayer.application.entry",
    "function": "sessionlayer.application.functions",
    "get_session": "sessionlayer.application.entry",
    "internal": "sessionlayer.application.continuation",
    "package_tags": "sessionlayer.application.tags",
    "python_tag": "sessionlayer.application.tags",
    "register_attach_handler": "sessionlayer.application.entry",
    "register_compat_vector": "sessionlayer.application.entry",
    "start_server": "sessionlayer.application.alone",
    "system": "sessionlayer.application.continuation",
}

__all__ = [
    "AttributeStoreFullError",
    "Continuation",
    "ContinuationError",
    "DaemonGoneError",
    "MigrateError",
    "Process",
    "RefusedError",
    "Session",
    "SessionEndedError",
    "Tag",
    "UnavailableError",
    "aio_session",
    "available",
    "complete",
    "continued",
    "freeze",
    "function",
    "get_session",
    "internal",
    "package_tags",
    "python_tag",
    "register_attach_handler",
    "register_compat_vector",
    "start_server",
    "system",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `sessionlayer` has no attribute `{name}`")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
