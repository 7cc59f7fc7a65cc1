"""Everything that a person types: the `migrate` command."""
