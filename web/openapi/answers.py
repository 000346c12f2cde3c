"""Answers as the demo's service gives them, shortened."""

from typing import Any, Final

from web.problems import PROBLEMS

_JOAO: Final[dict[str, Any]] = {
    "id": 65,
    "type": "user",
    "reference": "user-cdnow-00004",
    "properties": {
        "email": {"value": "joao@email.com", "reference_date": "1997-12-13T09:40:36.000000Z"},
        "document": {
            "value": {"type": "cpf", "number": "44250161900"},
            "reference_date": "1997-01-01T16:38:57.000000Z",
        },
        "full_name": {"value": "João Silva", "reference_date": "1997-12-13T09:40:36.000000Z"},
    },
    "created_at": "2026-11-24T13:57:22.143529Z",
    "updated_at": "2026-11-24T13:58:35.385198Z",
}
_SEGMENT: Final[dict[str, Any]] = {
    "id": 5048,
    "type": "segment",
    "reference": "seg-loyal",
    "properties": {},
    "created_at": "2026-11-24T13:57:22.143529Z",
    "updated_at": "2026-11-24T13:57:22.143529Z",
    "edges": [],
    "temporal_data": None,
}
TREE: Final[dict[str, Any]] = {
    **_JOAO,
    "edges": [{"type": "in_segment", "entity": _SEGMENT}],
    "temporal_data": {
        "payments": [
            {
                "value": {"quantity": 1, "amount_cents": 2933, "transaction_count": 1},
                "granularity": "day",
                "reference_date": "1997-01-01T23:59:59.999999Z",
            }
        ]
    },
}
TREES: Final = [TREE]
MOVED: Final = {"id": 11396, "moved_to": 11402}
BATCH: Final = [TREE, MOVED, None]
LISTED: Final = [_JOAO]
RELATIONSHIPS: Final = [
    {
        "type": "in_segment",
        "created_at": "2026-11-24T13:57:22.143529Z",
        "updated_at": "2026-11-24T13:57:22.143529Z",
        "entity": {"id": 65, "type": "user", "reference": "user-cdnow-00004"},
    }
]
RELATIONSHIP_COUNTS: Final = {
    "out": {
        "complete": True,
        "counts": [{"type": "in_segment", "entity_type": "segment", "count": 1}],
    },
    "in": {"complete": True, "counts": []},
}
ACCEPTED: Final = {"status": "sync request accepted for processing"}
SYNC_DIFFERENCES: Final[dict[str, Any]] = {
    "dry_run": True,
    "created": [],
    "changed": [
        {
            "kind": "property",
            "type": "user",
            "reference": "user-12345",
            "field": "status",
            "old": {"value": "premium", "reference_date": "2026-11-24T14:02:44.362740Z"},
            "new": {"value": "gold", "reference_date": "2026-11-24T15:44:06.185240Z"},
        }
    ],
    "removed": [],
    "unchanged": [{"kind": "entity", "type": "user", "reference": "user-12345", "reason": "same"}],
    "refused": [
        {
            "kind": "property",
            "field": 'entities[0].properties[""]',
            "code": "empty-name",
            "detail": 'entities[0].properties[""] is empty.',
        }
    ],
}
INGEST_DIFFERENCES: Final[dict[str, Any]] = {
    "dry_run": True,
    "created": [],
    "changed": [],
    "removed": [],
    "unchanged": [],
    "refused": [
        {
            "kind": "temporal",
            "field": "data_points[0].key",
            "code": "empty-name",
            "detail": "data_points[0].key is empty.",
        }
    ],
}
EXPORT: Final = (
    '{"kind":"entity","id":65,"type":"user","reference":"user-cdnow-00004",'
    '"created_at":"2026-11-24T13:57:22.143529Z","updated_at":"2026-11-24T13:58:35.385198Z",'
    '"exported_at":"2026-11-24T19:02:11.004217Z"}\n'
    '{"kind":"property","field":"email","reference_date":"1997-12-13T09:40:36.000000Z","value":"joao@email.com",'
    '"source":{"kind":"record","topic":"entity-properties","partition":3,"offset":48213}}\n'
    '{"kind":"end","lines":2}\n'
)
EVENTS: Final = (
    "retry: 2000\n"
    "id: AVKqXIgBAAAA\n\n"
    "id: AVKqXIkBAAAA\n"
    "event: entity_deleted\n"
    'data: {"event_idempotency_key":"0cc175b9c0f1b6a831c399e269772661"}\n\n'
)
LETTERS: Final[list[dict[str, Any]]] = [
    {
        "id": "entity-properties/3/48214",
        "topic": "entity-properties",
        "partition": 3,
        "offset": 48214,
        "timestamp": "2026-11-24T14:01:02.000000Z",
        "error": "invalid-date",
        "reason": "reference_date is not a date: expected RFC 3339 such as 2025-01-15T10:30:00Z, in the years 0001 to "
        "9999.",
        "key": {"text": "user:user-12345"},
    }
]
REPLAYED: Final = {"id": "entity-properties/3/48214", "status": "replayed"}
ALIVE: Final = {"status": "alive"}
READY: Final[dict[str, Any]] = {
    "status": "ready",
    "dependencies": [{"name": "postgres-primary", "ready": True, "required": True, "detail": "answers"}],
}
NOT_READY: Final[dict[str, Any]] = {
    "status": "not ready",
    "dependencies": [
        {"name": "postgres-primary", "ready": False, "required": True, "detail": "does not answer (OSError)"}
    ],
}
METRICS: Final = (
    "# HELP profile_event_streams Clients that follow the change feed now\n"
    "# TYPE profile_event_streams gauge\n"
    "profile_event_streams 2.0\n"
)
PAGE: Final = '<!doctype html>\n<html lang="en">…</html>\n'
SCRIPT: Final = "…"
DESCRIPTION: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {"title": "User Profile", "version": "1"},
    "paths": {},
}
MEANING: Final = {
    "type": PROBLEMS["not-found"].type,
    "title": PROBLEMS["not-found"].title,
    "status": PROBLEMS["not-found"].status,
    "meaning": PROBLEMS["not-found"].meaning,
}
