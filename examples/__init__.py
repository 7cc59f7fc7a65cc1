"""Programs that use Migrate, each in a plain and a suspendable version."""
