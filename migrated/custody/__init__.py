"""What stays open while nobody has it: descriptors that outlive the daemon, in a process of their own."""

from migrated.custody.custody import SOCKET_NAME, Custody

__all__ = ["SOCKET_NAME", "Custody"]
