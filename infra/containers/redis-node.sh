#!/bin/bash
# One node of the cluster on PORT. The node that has PEERS also puts the cluster together, once.
set -euo pipefail
redis-server --port "$PORT" --cluster-enabled yes --cluster-announce-ip 127.0.0.1 \
    --cluster-node-timeout 5000 --cluster-require-full-coverage no --dir /data --save '' --maxmemory 256mb --maxmemory-policy volatile-lfu &
server=$!
trap 'kill -TERM "$server"; wait "$server"' TERM INT

if [ -n "${PEERS:-}" ]; then
    for port in $PORT $PEERS; do
        until [ "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG ]; do sleep 0.2; done
    done
    if redis-cli -p "$PORT" cluster info | grep -q cluster_known_nodes:1; then
        nodes=()
        for port in $PORT $PEERS; do nodes+=("127.0.0.1:$port"); done
        redis-cli --cluster create "${nodes[@]}" --cluster-replicas 0 --cluster-yes
    fi
fi
wait "$server"
