"""Settings, and the names of topics."""
