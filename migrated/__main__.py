"""Let ``python -m migrated`` start the daemon."""

from migrated.daemon import main

main()
