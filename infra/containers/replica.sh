#!/bin/bash
# A streaming replica of PRIMARY_HOST through the replication slot SLOT; copies the primary when it is new.
set -euo pipefail
export PGHOST=$PRIMARY_HOST PGUSER=$POSTGRES_USER PGPASSWORD=$POSTGRES_PASSWORD
chown postgres:postgres "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    psql -v ON_ERROR_STOP=1 -v slot="$SLOT" -d postgres <<'SQL'
SELECT pg_create_physical_replication_slot(:'slot', true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot');
SQL
    find "$PGDATA" -mindepth 1 -delete
    mkdir -p "$PGDATA/.copy"
    chown postgres:postgres "$PGDATA/.copy"
    gosu postgres pg_basebackup -D "$PGDATA/.copy" -R -X stream -c fast -S "$SLOT"
    # PG_VERSION goes last: until it is there, the copy is taken for unfinished and made again.
    find "$PGDATA/.copy" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    mv "$PGDATA/.copy/PG_VERSION" "$PGDATA/"
    rmdir "$PGDATA/.copy"
    chmod 0700 "$PGDATA"
fi
exec gosu postgres postgres -c config_file=/etc/user-profile/postgresql.conf \
    -c max_connections="$MAX_CONNECTIONS" -c shared_buffers="${SHARED_BUFFERS_MB}MB"
