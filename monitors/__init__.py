"""Connectivity monitors: the vocabulary they share, the host that runs them, and the built-in ones."""
