"""Recovery of domain events after a lost replication slot."""
