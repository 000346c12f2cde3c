# The official image with pg_partman, and what makes a primary or a replica of it.
FROM postgres:16.10-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends postgresql-16-partman \
    && rm -rf /var/lib/apt/lists/*
COPY containers/postgresql.conf /etc/user-profile/postgresql.conf
COPY containers/allow-replication.sh /docker-entrypoint-initdb.d/
COPY --chmod=755 containers/replica.sh /usr/local/bin/replica.sh
