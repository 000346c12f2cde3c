"""Checks of PostgreSQL and Redis that `python -m app doctor` runs."""
