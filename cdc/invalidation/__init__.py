"""Cache invalidation, repeated from changes."""
