#!/bin/bash
# Runs once, when the primary's data directory is made: "all" in pg_hba.conf does not mean replication.
set -euo pipefail
echo "host replication all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
