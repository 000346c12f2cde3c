"""Benchmarks, one file for each command."""
