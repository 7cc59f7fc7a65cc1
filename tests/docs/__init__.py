"""The documents: whatever can be run in them is run."""
