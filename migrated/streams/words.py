"""Words for errors of the operating system, as all messages of the streams' programs have them."""

from __future__ import annotations

import os


def reason(error: OSError) -> str:
    """Return why a call failed, in a few lower-case words."""
    if isinstance(error, TimeoutError):
        return "no answer"
    # asyncio writes addresses into the text of an error, and resolvers have numbers of their own below 0.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror.lower() if error.strerror else str(error)
