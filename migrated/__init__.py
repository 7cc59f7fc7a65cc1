"""The session daemon, kernel rebinding, the network lab and the commands."""
