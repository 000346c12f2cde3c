"""PostgreSQL: pools, replicas, replication slots, migrations."""
