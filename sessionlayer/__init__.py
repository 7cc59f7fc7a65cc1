"""Sessions between two daemons: handshake, sealed datagrams and handoff, all without I/O."""
