"""Blocking sockets over virtual streams: for programs with threads, without privilege or daemon."""

from sessionlayer.sockets.client import create_connection
from sessionlayer.sockets.server import StreamListener, create_server
from sessionlayer.sockets.stream_socket import StreamSocket

__all__ = ["StreamListener", "StreamSocket", "create_connection", "create_server"]
