"""The dashboard for Grafana, made from this table: `python -m infra.observability.dashboard > dashboard.json`."""

import json
import sys
from typing import Any, Final

_HTTP: Final = "profile_http_request_seconds"
_LATE: Final = "profile_loop_late_seconds"
# Row: (title, unit, [(legend, query), …]) of each panel.
ROWS: Final[dict[str, list[tuple[str, str, list[tuple[str, str]]]]]] = {
    "Ingestion": [
        ("Records", "ops", [("{{topic}}", "sum by (topic) (rate(profile_records_total[1m]))")]),
        ("Lag", "short", [("{{topic}}", "sum by (topic) (profile_consumer_lag_records)")]),
        (
            "Oldest record that is not durable",
            "s",
            [("{{agent}}", "max by (agent) (profile_oldest_unacked_seconds)")],
        ),
        (
            "Flush, p99",
            "s",
            [
                (
                    "{{agent}}",
                    "histogram_quantile(0.99, sum by (agent, le) (rate(profile_flush_seconds_bucket[5m])))",
                )
            ],
        ),
        (
            "Rows",
            "ops",
            [
                ("{{kind}} changed", "sum by (kind) (rate(profile_rows_changed_total[1m]))"),
                ("{{kind}} unchanged", "sum by (kind) (rate(profile_rows_unchanged_total[1m]))"),
            ],
        ),
        (
            "Dead letters and retries",
            "ops",
            [
                ("{{topic}} {{error}}", "sum by (topic, error) (rate(profile_dead_letters_total[5m]))"),
                ("retries of {{agent}}", "sum by (agent) (rate(profile_flush_retries_total[5m]))"),
            ],
        ),
    ],
    "HTTP": [
        ("Requests", "reqps", [("{{status}}", f"sum by (status) (rate({_HTTP}_count[1m]))")]),
        (
            "Time to answer",
            "s",
            [
                (name, f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket[5m])))")
                for name, q, metric in (
                    ("p50", "0.50", _HTTP),
                    ("p99", "0.99", _HTTP),
                    ("waiting for a turn, p99", "0.99", "profile_http_wait_seconds"),
                )
            ],
        ),
        (
            "Reads by level",
            "reqps",
            [
                ("whole, from memory", "sum(rate(profile_http_express_seconds_count[1m]))"),
                ("{{kind}}, {{level}}", "sum by (kind, level) (rate(profile_cache_reads_total[1m]))"),
            ],
        ),
        (
            "Hit rate",
            "percentunit",
            [
                (
                    "hits",
                    f'sum(rate({_HTTP}_count{{cache="hit"}}[5m])) / sum(rate({_HTTP}_count{{cache!="-"}}[5m]))',
                )
            ],
        ),
        (
            "One question to a server, p99",
            "s",
            [
                (
                    "{{level}}",
                    "histogram_quantile(0.99, sum by (level, le) (rate(profile_read_seconds_bucket[5m])))",
                )
            ],
        ),
        (
            "Questions that failed",
            "ops",
            [
                ("{{level}}", "sum by (level) (rate(profile_read_failures_total[5m]))"),
                ("unverified", "sum(rate(profile_reads_unverified_total[5m]))"),
                ("refused", "sum(rate(profile_reads_refused_total[5m]))"),
            ],
        ),
    ],
    "Servers and caches": [
        ("Replica lag", "s", [("{{server}}", "max by (server) (profile_replica_lag_seconds)")]),
        ("Replica lag in WAL", "bytes", [("{{server}}", "max by (server) (profile_replica_lag_bytes)")]),
        (
            "In use",
            "short",
            [
                ("primary", "min(profile_primary_answers)"),
                ("{{server}}", "min by (server) (profile_replica_used)"),
                ("Redis", "min(profile_redis_used)"),
                ("memory", "min(profile_memory_cache_on)"),
            ],
        ),
        (
            "Connections",
            "short",
            [
                ("{{pool}} {{state}}", "sum by (pool, state) (profile_pool_connections)"),
                ("{{pool}} limit", "sum by (pool) (profile_pool_limit)"),
            ],
        ),
        (
            "Memory cache",
            "bytes",
            [("{{instance}}", "sum by (instance) (profile_memory_cache_bytes)")],
        ),
        (
            "Deletions in pieces",
            "short",
            [
                ("under way", "max(profile_deletions_under_way)"),
                ("rows left", "max(profile_deletion_rows_left)"),
                ("placeholders waiting", "max(profile_merges_waiting)"),
                ("{{work}} rows/s", "sum by (work) (rate(profile_piece_rows_total[1m]))"),
            ],
        ),
        (
            "Owed and stale",
            "short",
            [
                ("invalidations pending", "sum(profile_invalidations_pending)"),
                ("stale {{kind}}", "sum by (kind) (increase(profile_audit_stale_total[1h]))"),
            ],
        ),
    ],
    "Processes": [
        (
            "Event loop late, p99",
            "s",
            [
                (
                    "{{instance}} {{process}}",
                    f"histogram_quantile(0.99, sum by (instance, process, le) (rate({_LATE}_bucket[5m])))",
                )
            ],
        ),
        (
            "Up, and replaced",
            "short",
            [
                ("{{instance}} {{process}}", "min by (instance, process) (profile_process_up)"),
                (
                    "{{process}} replaced",
                    "sum by (process) (increase(profile_process_restarts_total[15m]))",
                ),
            ],
        ),
    ],
    "Change data capture": [
        ("Events", "ops", [("{{type}}", "sum by (type) (rate(profile_cdc_events_total[1m]))")]),
        (
            "Lag",
            "s",
            [
                ("connector", "max(profile_cdc_connector_lag_seconds)"),
                ("events", "max(profile_cdc_lag_seconds)"),
                ("invalidations", "max(profile_cdc_repeater_lag_seconds)"),
            ],
        ),
        (
            "Slot",
            "bytes",
            [
                ("not confirmed", "max(profile_cdc_slot_lag_bytes)"),
                ("kept", "max(profile_cdc_slot_retained_bytes)"),
                ("until lost", "min(profile_cdc_slot_safe_bytes)"),
            ],
        ),
    ],
}
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_COLUMNS: Final = 3
_HEIGHT: Final = 7


def dashboard() -> dict[str, Any]:
    """What Grafana imports; it asks for the source."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, content in ROWS.items():
        panels.append(
            {"type": "row", "id": len(panels) + 1, "title": row, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}
        )
        y += 1
        for index, (title, unit, queries) in enumerate(content):
            column, line = index % _COLUMNS, index // _COLUMNS
            panels.append(
                {
                    "type": "timeseries",
                    "id": len(panels) + 1,
                    "title": title,
                    "datasource": _SOURCE,
                    "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                    "gridPos": {"x": 8 * column, "y": y + _HEIGHT * line, "w": 8, "h": _HEIGHT},
                    "targets": [
                        {
                            "refId": chr(ord("A") + n),
                            "datasource": _SOURCE,
                            "expr": query,
                            "legendFormat": legend,
                        }
                        for n, (legend, query) in enumerate(queries)
                    ],
                }
            )
        y += _HEIGHT * -(-len(content) // _COLUMNS)
    return {
        "uid": "user-profile",
        "title": "User Profile",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def main() -> None:
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
