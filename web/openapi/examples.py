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
