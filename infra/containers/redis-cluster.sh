#!/bin/bash
# The nodes of the cluster, one on each of PORTS, with MAX_MEMORY_MB each. Puts the cluster together, once. Where one node
# ends, all do, and the container is started again.
set -euo pipefail
read -ra ports <<< "$PORTS"
for port in "${ports[@]}"; do
    mkdir -p "/data/$port"
    redis-server --port "$port" --cluster-enabled yes --cluster-announce-ip 127.0.0.1 --cluster-node-timeout 5000 \
        --protected-mode no --cluster-preferred-endpoint-type unknown-endpoint \
        --cluster-require-full-coverage no --dir "/data/$port" --save '' \
        --maxmemory "${MAX_MEMORY_MB}mb" --maxmemory-policy volatile-lfu &
done
trap 'kill -TERM $(jobs -p); wait' TERM INT

for port in "${ports[@]}"; do
    until [ "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG ]; do sleep 0.2; done
done
if redis-cli -p "${ports[0]}" cluster info | grep -q cluster_known_nodes:1; then
    redis-cli --cluster create "${ports[@]/#/127.0.0.1:}" --cluster-replicas 0 --cluster-yes
fi
wait -n || true
# shellcheck disable=SC2046
kill -TERM $(jobs -p) 2>/dev/null || true
exit 1
