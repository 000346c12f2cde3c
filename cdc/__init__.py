"""Change data capture: Debezium envelopes become domain events."""
