"""Flink jobs: submit, upgrade, cancel."""
