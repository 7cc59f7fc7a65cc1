"""Shells that outlive their clients: a pseudo-terminal is held, clients come and go."""
