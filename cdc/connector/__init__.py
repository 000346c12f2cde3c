"""The Debezium connector: client, configuration, state, watch."""
