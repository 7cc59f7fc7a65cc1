"""All other descriptors, kept as they are: pipes, Unix sockets, listening sockets, devices, whatever else."""

from __future__ import annotations

import os
from pathlib import Path

from migrated.resources.spec import Descriptor, Keep, Owner, ResourceLostError, Resumed, Suspended


class KeptHandler:
    """Keep a descriptor open: the other end of a pipe or socket would notice anything else."""

    kind = "kept"

    def suspend(self, descriptor: Descriptor) -> Suspended | None:
        """Note down what it is, for people.

        Raises:
            OSError: it is not open.
        """
        what = Path(f"/proc/self/fd/{descriptor.number}").readlink()
        return Suspended(state=os.fsencode(what), keep=Keep.ITSELF)

    def give_up(self, descriptor: int) -> None:
        """Do nothing: closing is enough."""

    def resume(self, state: bytes, keep: Keep, kept: int | None, owner: Owner) -> Resumed:
        """Return it as it is.

        Raises:
            ResourceLostError: the daemon was ended in between, and it was closed with it.
        """
        if kept is None:
            raise ResourceLostError(f"`{os.fsdecode(state)}` was lost when the daemon ended")
        return Resumed(descriptor=kept)

    def forget(self, state: bytes) -> None:
        """Do nothing: nothing was prepared."""
