"""Data generators, load tests and benchmarks."""
