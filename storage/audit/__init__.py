"""Compares what is cached with the primary."""
