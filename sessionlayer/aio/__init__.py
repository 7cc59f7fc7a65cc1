"""Virtual streams for asyncio."""
