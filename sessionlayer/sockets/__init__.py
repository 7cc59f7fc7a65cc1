"""Virtual streams as blocking sockets, for threads."""
