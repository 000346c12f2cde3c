"""Parts of benchmarks: processes, CPU, latencies, yardsticks."""
