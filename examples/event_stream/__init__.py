"""A stream of server-sent events over HTTP, plain and suspendable."""
