"""Alert rules for Prometheus and a dashboard for Grafana; tests hold their queries against a real /metrics."""
