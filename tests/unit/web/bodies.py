"""Bodies of writes, good and bad, and how they are sent."""

import json
from typing import Any, Final

from aiohttp.test_utils import TestClient

from app.core.models import RequestSource
from tests.seed_bodies import SEED_INGEST

JSON: Final = {"Content-Type": "application/json"}
TOLD_BY: Final = RequestSource("r-1")  # what `post` sends


async def post(
    client: TestClient[Any, Any], body: str | bytes, path: str = "/v1/graph/sync"
) -> tuple[int, dict[str, Any]]:
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    response = await client.post(path, data=data, headers={**JSON, "X-Request-Id": TOLD_BY.request_id})
    return response.status, await response.json(content_type=None)


def entity(properties: str) -> str:
    return f'{{"entities": [{{"reference": "u", "type": "user", "properties": {properties}}}]}}'


def related(**extra: object) -> str:
    plain = {"source_reference": "a", "target_reference": "b", "relationship_type": "knows"}
    return json.dumps({"relationships": [{**plain, **extra}]})


def said_twice(first: str, second: str, **more: str) -> str:
    """One entity twice, with these properties."""
    return json.dumps(
        {
            "entities": [
                {"reference": "u", "type": "user", "properties": json.loads(properties), **more}
                for properties in (first, second)
            ]
        }
    )


def set_and_removed(*, set_at: str | None = None, removed_at: str | None = None) -> str:
    said = {"reference": "u", "type": "user", "properties": {"age": 1}, "reference_date": set_at}
    removed = {"reference": "u", "type": "user", "field": "age", "reference_date": removed_at}
    return json.dumps({"entities": [said], "removed_properties": [removed]})


def related_twice(first: object, second: object) -> str:
    edge = {"source_reference": "a", "target_reference": "b", "relationship_type": "knows"}
    return json.dumps({"relationships": [{**edge, "metadata": each} for each in (first, second)]})


def ingest(**change: object) -> str:
    point = json.loads(SEED_INGEST)["data_points"][0]
    return json.dumps({"data_points": [{**point, **change}]})


def points_twice(first: object, second: object, **change: object) -> str:
    """One point twice; `change` is what the second one has of its own."""
    point = json.loads(ingest(value=first))["data_points"][0]
    return json.dumps({"data_points": [point, {**point, "value": second, **change}]})


_DEEP: Final = "[" * 65 + "]" * 65
_VERY_DEEP: Final = "[" * 1500 + "]" * 1500

# What is sent, the field that is at fault, and the code.
BAD_SYNCS: Final[list[tuple[str, str | None, str]]] = [
    (entity('{"name": "\\u0000"}'), "entities[0].properties.name", "unstorable-text"),
    (entity('{"name": "\\ud800"}'), "entities[0].properties.name", "unstorable-text"),
    (entity('{"name": ["x", "\\udc00 "]}'), "entities[0].properties.name", "unstorable-text"),
    (entity('{"name": NaN}'), "entities[0].properties.name", "not-a-number"),
    (entity('{"name": [1, {"a": -Infinity}]}'), "entities[0].properties.name", "not-a-number"),
    (entity(f'{{"name": {_DEEP}}}'), "entities[0].properties.name", "nested-too-deep"),
    (entity(f'{{"name": {_VERY_DEEP}}}'), "entities[0].properties.name", "nested-too-deep"),
    (entity('{"name": "' + "x" * 511 + '"}'), "entities[0].properties.name", "value-too-large"),
    (entity('{"": 1}'), 'entities[0].properties[""]', "empty-name"),
    (entity('{"a b": "\\u0000"}'), 'entities[0].properties["a b"]', "unstorable-text"),
    (entity('{"\\u0000": 1}'), 'entities[0].properties["\\u0000"]', "unstorable-text"),
    (entity('{"n": 1e1000}'), "entities[0].properties.n", "number-out-of-range"),
    (entity("[]"), "entities[0].properties", "ill-typed-field"),
    (
        entity('{"n": {"value": 1, "reference_date": "soon"}}'),
        "entities[0].properties.n.reference_date",
        "invalid-date",
    ),
    (
        entity('{"n": {"value": 1, "reference_date": 5}}'),
        "entities[0].properties.n.reference_date",
        "invalid-date",
    ),
    (
        entity('{"n": {"value": "\\u0000", "reference_date": "2025-01-01"}}'),
        "entities[0].properties.n.value",
        "unstorable-text",
    ),
    (
        entity('{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}'),
        "entities",
        "too-many-items",
    ),
    ('{"entities": [{"type": "user"}]}', "entities[0].reference", "missing-field"),
    ('{"entities": [{"type": "user", "reference": ""}]}', "entities[0].reference", "empty-name"),
    ('{"entities": [{"type": "", "reference": "u"}]}', "entities[0].type", "empty-name"),
    ('{"entities": [{"type": "unknown", "reference": "u"}]}', "entities[0].type", "reserved-type"),
    ('{"entities": [{"type": 5, "reference": "u"}]}', "entities[0].type", "ill-typed-field"),
    (
        json.dumps({"entities": [{"type": "t" * 256, "reference": "u"}]}),
        "entities[0].type",
        "name-too-long",
    ),
    (
        json.dumps({"entities": [{"type": "t", "reference": "é" * 513}]}),
        "entities[0].reference",
        "name-too-long",
    ),
    (
        '{"entities": [{"type": "t", "reference": "u", "reference_date": "x"}]}',
        "entities[0].reference_date",
        "invalid-date",
    ),
    ("{}", "entities", "missing-field"),
    # The same thing twice, with one date.
    (said_twice('{"age": 9}', '{"age": 10}'), "entities[1].properties.age", "contradiction"),
    (said_twice('{"age": 1}', '{"age": 1.0}'), "entities[1].properties.age", "contradiction"),
    (
        said_twice('{"age": 9}', '{"age": 10}', reference_date="2025-01-01"),
        "entities[1].properties.age",
        "contradiction",
    ),
    (
        said_twice('{"age": {"value": 9, "reference_date": "2025-01-01"}}', '{"age": 9}').replace(
            '{"age": 9}', '{"age": {"value": 8, "reference_date": "2025-01-01T01:00:00+01:00"}}'
        ),
        "entities[1].properties.age",
        "contradiction",
    ),
    (set_and_removed(), "removed_properties[0]", "contradiction"),
    (
        set_and_removed(set_at="2025-01-01", removed_at="2025-01-01T00:00:00Z"),
        "removed_properties[0]",
        "contradiction",
    ),
    (related_twice({"a": 1}, {"a": 2}), "relationships[1]", "contradiction"),
    # Later than a day after the request, which is of 2025-10-05T12:00:00.123456Z.
    (
        '{"entities": [{"type": "t", "reference": "u", "reference_date": "2999-01-01", "properties": {"a": 1}}]}',
        "entities[0].reference_date",
        "date-too-far-ahead",
    ),
    (
        entity('{"n": {"value": 1, "reference_date": "2025-10-06T12:00:00.123457Z"}}'),
        "entities[0].properties.n.reference_date",
        "date-too-far-ahead",
    ),
    (
        '{"removed_properties": [{"type": "t", "reference": "u", "field": "f", "reference_date": "9999-12-31"}]}',
        "removed_properties[0].reference_date",
        "date-too-far-ahead",
    ),
    # A name twice in one object.
    (entity('{"age": 9, "age": 10}'), "entities[0].properties.age", "repeated-member"),
    (entity('{"age": 9, "name": {}, "\\u0061ge": 9}'), "entities[0].properties.age", "repeated-member"),
    (
        entity('{"n": {"value": 1, "value": 2, "reference_date": "2025-01-01"}}'),
        "entities[0].properties.n.value",
        "repeated-member",
    ),
    (
        '{"entities": [{"type": "user", "reference": "u", "reference": "v"}]}',
        "entities[0].reference",
        "repeated-member",
    ),
    (
        related(metadata=1).replace('"metadata": 1', '"metadata": {"a": "x:y"}, "metadata": null'),
        "relationships[0].metadata",
        "repeated-member",
    ),
    ('{"entities": [], "entities": []}', "entities", "repeated-member"),
    # Names that nothing has.
    (
        '{"entities": [{"type": "user", "reference": "u", "propertys": {"a": 1}}]}',
        "entities[0].propertys",
        "unknown-field",
    ),
    (
        '{"entities": [{"type": "user", "reference": "u", "referenceDate": "2025-01-01"}]}',
        "entities[0].referenceDate",
        "unknown-field",
    ),
    (related(targetType="org"), "relationships[0].targetType", "unknown-field"),
    (
        '{"removed_properties": [{"type": "user", "reference": "u", "field": "f", "date": "2025-01-01"}]}',
        "removed_properties[0].date",
        "unknown-field",
    ),
    (
        '{"entities": [{"type": "user", "reference": "u", "a `b` - at `$.c`": 1}]}',
        'entities[0]["a `b` - at `$.c`"]',
        "unknown-field",
    ),
    ('{"entitys": [], "entities": []}', "entitys", "unknown-field"),
    ("[]", None, "ill-typed-field"),
    ('"x"', None, "ill-typed-field"),
    (related(relationship_type=""), "relationships[0].relationship_type", "empty-name"),
    (related(source_type="unknown"), "relationships[0].source_type", "reserved-type"),
    (related(target_type=""), "relationships[0].target_type", "empty-name"),
    (related(metadata=[1]), "relationships[0].metadata", "ill-typed-field"),
    (related(metadata={"a": "\0"}), "relationships[0].metadata", "unstorable-text"),
]

# What is changed in a good data point, and the field that is at fault.
BAD_POINTS: Final[list[tuple[dict[str, object], str]]] = [
    ({"granularity": "fortnight"}, "granularity"),
    ({"reference_date": "2025-02-30"}, "reference_date"),
    ({"entity_type": "unknown"}, "entity_type"),
    ({"entity_reference": ""}, "entity_reference"),
    ({"key": "k" * 256}, "key"),
    ({"version": 1.5}, "version"),
    ({"version": 2**63}, "version"),
    ({"value": "\0"}, "value"),
    ({"reference_dates": "2025-01-01"}, "reference_dates"),
]
