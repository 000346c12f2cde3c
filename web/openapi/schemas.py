"""Schemas of answers, which are joined from bytes and so have no models; those of bodies come from their models."""

from typing import Any, Final

import msgspec

from app.core.api_keys import Scope
from web.bodies.batch import BatchIn
from web.bodies.dead_letter import Letter
from web.bodies.receipts import Receipt, ReceiptInPieces
from web.bodies.sync_body import SyncIn, SyncItems
from web.bodies.temporal import IngestIn
from web.problems import PROBLEMS

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"


def ref(name: str) -> Schema:
    return {"$ref": _REF.format(name=name)}


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def record(
    properties: dict[str, Schema], *, description: str, optional: frozenset[str] = frozenset()
) -> Schema:
    """An object with these members and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


_ID: Final = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_DATE: Final = {
    "type": "string",
    "description": "UTC with microseconds.",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
    "examples": ["2025-01-15T23:59:59.000000Z"],
}
_GRANULARITY: Final = {"enum": ["instant", "day", "week", "month", "quarter", "year"]}
_OUTCOMES: Final = ("created", "changed", "removed", "unchanged", "refused")
_NAME: Final[dict[str, Schema]] = {"id": _ID, "type": _TEXT, "reference": _TEXT}

_ANSWERS: Final[dict[str, Schema]] = {
    "Property": record(
        {"value": {"description": "Any JSON value."}, "reference_date": _DATE},
        description="A property and the date that it is of.",
    ),
    "Entity": record(
        {
            **_NAME,
            "properties": {"type": "object", "additionalProperties": ref("Property")},
            "created_at": _DATE,
            "updated_at": _DATE,
            "edges": array(ref("Edge"), description="Relationships, by type and id of the target."),
            "truncated": record(
                {"edges_total": _COUNT, "points_total": _COUNT},
                description="There where a budget left something out, with how many there are: `edges_total` where "
                "edges were, `points_total` where all but the latest points were.",
                optional=frozenset({"edges_total", "points_total"}),
            ),
            "temporal_data": {
                "description": "Points by key, in order of their dates; null where there is none.",
                "oneOf": [
                    {
                        "type": "object",
                        "additionalProperties": array(ref("Point"), minItems=1),
                        "minProperties": 1,
                    },
                    {"type": "null"},
                ],
            },
        },
        description="An entity and what it leads to. With `fields`, the members that were asked for.",
        optional=frozenset({"properties", "created_at", "updated_at", "edges", "truncated", "temporal_data"}),
    ),
    "Repeated": record(
        {**_NAME, "repeated": {"const": True}},
        description="An entity that stands in full elsewhere in the tree.",
    ),
    "Edge": record(
        {"type": _TEXT, "entity": {"oneOf": [ref("Entity"), ref("Repeated")]}},
        description="A relationship and its target.",
    ),
    "Point": record(
        {"value": {}, "granularity": _GRANULARITY, "reference_date": _DATE},
        description="A point of a time series.",
    ),
    "Listed": record(
        {
            **_NAME,
            "properties": {"type": "object", "additionalProperties": ref("Property")},
            "created_at": _DATE,
            "updated_at": _DATE,
        },
        description="An entity alone.",
    ),
    "Relationship": record(
        {
            "type": _TEXT,
            "metadata": {"type": "object"},
            "metadata_date": {
                **_DATE,
                "description": "The timestamp of the record that the metadata is from.",
            },
            "created_at": _DATE,
            "updated_at": _DATE,
            "entity": record(_NAME, description="Its other end."),
        },
        description="A relationship of an entity.",
        optional=frozenset({"metadata", "metadata_date"}),
    ),
    "RelationshipCounts": record(
        {
            "out": ref("CountsOfDirection"),
            "in": ref("CountsOfDirection"),
        },
        description="How many relationships an entity has.",
    ),
    "CountsOfDirection": record(
        {
            "complete": {
                "type": "boolean",
                "description": "False where there are more than were counted.",
            },
            "counts": array(
                record(
                    {"type": _TEXT, "entity_type": _TEXT, "count": _COUNT},
                    description="Those of one type whose other end has one type.",
                )
            ),
        },
        description="In order of their types.",
    ),
    "RecordSource": record(
        {"kind": {"const": "record"}, "topic": _TEXT, "partition": _COUNT, "offset": _COUNT},
        description="A record of a topic.",
    ),
    "RequestSource": record(
        {"kind": {"const": "request"}, "request_id": _TEXT},
        description="An HTTP request, by the X-Request-Id of its answer.",
    ),
    "Provenance": record(
        {
            **_NAME,
            "properties": {
                "type": "object",
                "additionalProperties": record(
                    {
                        "reference_date": _DATE,
                        "source": {
                            "oneOf": [ref("RecordSource"), ref("RequestSource"), {"type": "null"}],
                            "description": "null where it was not kept when the property was told.",
                        },
                        "removed": {"const": True, "description": "There where the property is hidden."},
                    },
                    description="The date that won, and where the statement came from.",
                    optional=frozenset({"removed"}),
                ),
            },
        },
        description="Where an entity's properties came from.",
    ),
    "Moved": record(
        {"id": _ID, "moved_to": _ID},
        description="The entity was a placeholder and is one with another one now.",
    ),
    "Accepted": record(
        {
            "status": {"const": "sync request accepted for processing"},
            "ignored": array(ref("Ignored"), description="What was left out; absent where nothing was."),
        },
        description="It is committed.",
        optional=frozenset({"ignored"}),
    ),
    "Ignored": {
        "type": "object",
        "description": "An item that was not written; the members beside `kind` and `reason` identify it.",
        "properties": {
            "kind": {"enum": ["entity", "property", "relationship", "temporal"]},
            "reason": {
                "enum": ["older", "erased", "older-or-same"],
                "description": "older: what is stored is dated later, or was removed later. erased: the entity was "
                "erased while the request was on its way. older-or-same: the primary could not be asked which.",
            },
        },
        "required": ["kind", "reason"],
    },
    "Difference": {
        "type": "object",
        "description": "What a write would do to one item; the members beside `kind` identify it.",
        "properties": {"kind": {"enum": ["entity", "property", "relationship", "temporal"]}},
        "required": ["kind"],
    },
    "Differences": record(
        {
            "dry_run": {"const": True},
            **{name: array(ref("Difference")) for name in _OUTCOMES},
        },
        description="What a write would do; nothing was written.",
    ),
    "Problem": {
        "type": "object",
        "description": "RFC 9457. GET the `type` for its meaning.",
        "properties": {
            "type": {"enum": [problem.type for problem in PROBLEMS.values()], "format": "uri-reference"},
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "instance": {**_TEXT, "format": "uri-reference"},
            "request_id": _TEXT,
            "parameter": {**_TEXT, "description": "The parameter at fault."},
            "field": {**_TEXT, "description": "The path of the field at fault."},
            "code": {**_TEXT, "description": "A stable name of the reason."},
            "scope": {"enum": list(Scope), "description": "What the key would have to be allowed."},
            "moved_to": {**_ID, "description": "The entity that the one with this id was merged into."},
            "candidates": array(_TEXT, description="Types of the entities that bear the reference."),
        },
        "required": ["type", "title", "status", "detail", "instance", "request_id"],
    },
    "Meaning": record(
        {"type": _TEXT, "title": _TEXT, "status": _COUNT, "meaning": _TEXT}, description="A problem's."
    ),
    "Replayed": record(
        {"id": _TEXT, "status": {"const": "replayed"}}, description="The record is in its topic again."
    ),
    "Alive": record({"status": {"const": "alive"}}, description="The process answers."),
    "Readiness": record(
        {
            "status": {"enum": ["ready", "not ready"]},
            "dependencies": array(
                record(
                    {
                        "name": _TEXT,
                        "ready": {"type": "boolean"},
                        "required": {"type": "boolean"},
                        "detail": _TEXT,
                        "process": _TEXT | {"description": "Which one tells it, where a worker has several."},
                    },
                    description="As of a second ago.",
                    optional=frozenset({"process"}),
                )
            ),
        },
        description="Whether the worker can serve. `dependencies` are for keys with the scope `metrics`.",
        optional=frozenset({"dependencies"}),
    ),
    "Index": record(
        {"name": _TEXT, "description": _TEXT, "links": {"type": "object"}, "page": _TEXT},
        description="The routes as URI templates (RFC 6570); `page` where the one for browsers was not built.",
        optional=frozenset({"page"}),
    ),
}


def _without_indentation(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: " ".join(value.split())
            if name == "description" and isinstance(value, str)
            else _without_indentation(value)
            for name, value in schema.items()
        }
    return [_without_indentation(item) for item in schema] if isinstance(schema, list) else schema


def _receipt() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for model in (Receipt, ReceiptInPieces):
        whole = model.model_json_schema(ref_template=_REF.replace("{name}", "{model}"), mode="serialization")
        found |= {**whole.pop("$defs"), model.__name__: whole}
    return found


def components() -> dict[str, Schema]:
    """Every schema by name."""
    _, bodies = msgspec.json.schema_components([SyncIn, IngestIn, BatchIn, Letter], ref_template=_REF)
    bodies["SyncIn"]["anyOf"] = [{"required": [name]} for name in SyncItems._fields]
    found: dict[str, Schema] = _without_indentation({**bodies, **_ANSWERS, **_receipt()})
    return found
