"""A client that says of its session how it is."""
