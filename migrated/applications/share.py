"""How many of the daemon's descriptors the sessions at rest of one user may keep open."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Mapping
from typing import Final

from migrated.applications.holding import Holdings, Parcel
from migrated.applications.refusal import RefusedError
from migrated.resources import Collected

KEPT_SHARE: Final = 4
"""One user's sessions at rest keep at most this part of the descriptors that the daemon may have, root's
too."""


def beyond_share(
    holdings: Holdings, collected: Mapping[bytes, tuple[Parcel, Collected]]
) -> dict[bytes, RefusedError]:
    """Refuse those with which one user would keep more of our descriptors open than a share of them.

    Args:
        holdings: all that are at rest.
        collected: what is about to be, by session.
    """
    if not any(found.kept for _, found in collected.values()):
        return {}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // KEPT_SHARE
    kept: Counter[int] = Counter()
    for holding in holdings:
        kept[holding.uid] += len(holding.kept)
    refused = {}
    for session_id, (parcel, found) in collected.items():
        if kept[parcel.uid] + len(found.kept) > most:
            reason = (
                f"user {parcel.uid} keeps {kept[parcel.uid]} descriptors open, at most {most} are allowed"
            )
            refused[session_id] = RefusedError("quota", reason)
        else:
            kept[parcel.uid] += len(found.kept)
    return refused
