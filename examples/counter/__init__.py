"""The counter of the Migrate paper: plain and suspendable, for asyncio and as a process for each client."""
