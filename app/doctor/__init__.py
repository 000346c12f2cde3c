"""Checks of settings, Kafka and access that `python -m app doctor` runs."""
