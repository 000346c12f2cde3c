"""Bodies to try out, by the names of their schemas."""

from typing import Any, Final

BODIES: Final[dict[str, dict[str, Any]]] = {
    "SyncIn": {
        "entities": [
            {
                "reference": "user-12345",
                "type": "user",
                "properties": {"name": "João Silva Updated", "status": "premium"},
            }
        ],
        "relationships": [
            {
                "source_reference": "user-12345",
                "target_reference": "subscription-premium",
                "relationship_type": "has_subscription",
            }
        ],
    },
    "IngestIn": {
        "data_points": [
            {
                "entity_reference": "user-12345",
                "entity_type": "user",
                "key": "payment_metrics",
                "granularity": "daily",
                "reference_date": "2025-01-15T23:59:59Z",
                "value": {"transactions": 5, "total_amount": 2450.00, "average_ticket": 490.00},
            }
        ]
    },
    "BatchIn": {"entity_ids": [123, 456]},
}

PROVENANCE: Final[dict[str, Any]] = {
    "id": 123,
    "type": "user",
    "reference": "user-12345",
    "properties": {
        "name": {
            "reference_date": "2025-01-15T10:30:00.000000Z",
            "source": {"kind": "record", "topic": "entity-properties", "partition": 3, "offset": 48213},
        },
        "status": {
            "reference_date": "2026-11-24T14:02:44.362740Z",
            "source": {"kind": "request", "request_id": "0123456789abcdef"},
            "removed": True,
        },
        "email": {"reference_date": "2024-06-01T00:00:00.000000Z", "source": None},
    },
}

RECEIPT: Final[dict[str, Any]] = {
    "ledger_id": "5f0c" * 16,
    "erased_at": "2026-11-24T19:10:02.120412Z",
    "removed": {"entities": 1, "properties": 2, "relationships": 1, "temporal_points": 1},
    "caches": "invalidated",
    "dead_letters": {"state": "removed", "removed": 0, "checked_at": "2026-11-24T19:10:02.317201Z"},
    "not_reached": [
        {
            "what": "cdc_topic",
            "names": ["user-profile.cdc.all-tables"],
            "until": "2026-12-01T19:10:02.120412Z",
            "note": "Changes from before the erasure, and the deletes themselves.",
            "until_of": {"user-profile.cdc.all-tables": "2026-12-01T19:10:02.120412Z"},
        }
    ],
}
RECEIPT_DELETING: Final[dict[str, Any]] = {
    **RECEIPT,
    "removed": {"entities": 1, "properties": 2, "relationships": 184_000, "temporal_points": 0},
    "state": "deleting",
    "progress": {"rows_deleted": 184_000, "rows_total": 1_000_001},
}
