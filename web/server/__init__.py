"""The HTTP server: sockets, connections, and the fast path past the framework."""
