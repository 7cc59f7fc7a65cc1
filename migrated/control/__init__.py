"""The daemon's Unix socket: what commands ask, what is answered, and who may."""
