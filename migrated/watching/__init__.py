"""Notice that files have changed, however they are saved."""

from migrated.watching.watcher import Watcher

__all__ = ["Watcher"]
