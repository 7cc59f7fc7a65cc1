"""Move established TCP connections of unmodified programs between addresses."""
