"""Readers: from cache levels and PostgreSQL to answers."""
