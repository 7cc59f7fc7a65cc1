"""Continuations as values: attribute stores, compatibility, dependencies, and how they are written down."""
