"""Kafka clients: options, errors, a producer, a partitioner, topics."""
