"""A client for Redis Cluster."""
