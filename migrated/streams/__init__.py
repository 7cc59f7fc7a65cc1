"""Programs that carry any TCP connection through a virtual stream: connect, forward, gateway."""
