"""Virtual streams: connections that outlive their transports, as pure state machines."""
