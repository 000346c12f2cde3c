"""The domain events as streams for HTTP clients."""
