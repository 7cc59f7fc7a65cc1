"""Notice that files have changed, however they are saved."""

from migrated.watching.survey import Survey, survey
from migrated.watching.watcher import Watcher

__all__ = ["Survey", "Watcher", "survey"]
