"""Continuations of suspended sessions, on disk and back in a process."""
