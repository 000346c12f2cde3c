# The official image, and what makes a primary or a replica of it.
FROM postgres:16.10-bookworm
COPY containers/postgresql.conf /etc/user-profile/postgresql.conf
COPY containers/allow-replication.sh /docker-entrypoint-initdb.d/
COPY containers/replica.sh /usr/local/bin/replica.sh
