"""API keys, origins and rates."""
