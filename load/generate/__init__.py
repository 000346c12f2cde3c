"""Generators of data."""
