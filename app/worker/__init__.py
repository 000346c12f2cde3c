"""The composition root: it puts a worker together."""
