"""A world as records of the CDC topic, in the form of Debezium's envelopes. Pure; the same for the same seed.

Of hundred changes 48 are new relationships, 35 new points and 17 updates of entities, two of whose properties got
newer values: what an import of three topics gives.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any, Final

import orjson

from app.core import dates
from load.generate import people
from load.generate.world import Node, Point, World, month_start

_MIX: Final = ("edge",) * 48 + ("point",) * 35 + ("entity",) * 17
_FIELDS: Final = 4  # of an entity at least
_COMMIT_ROWS: Final = 500
_FIRST_XID: Final = 1_000
_COMMITTED: Final = datetime(2025, 10, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # milliseconds since 1970
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


def changes(number: int, *, seed: int = 0, mix: Sequence[str] = _MIX) -> list[ChangeRecord]:
    """That many records of one partition, of commits of 500 rows each; `mix` names kinds of rows, drawn in turn."""
    data = _world(number, seed)
    kinds = list(mix)
    people.stream(seed, "changes").shuffle(kinds)
    nodes = _nodes(data)
    rows = {
        "entity": _entities(nodes, people.stream(seed, "newer")),
        "edge": _edges(nodes),
        "point": _points(data),
    }
    tables = {"entity": "entities", "edge": "edges", "point": "temporal_properties"}
    return [
        _record(offset, tables[kind], *next(rows[kind])) for offset, kind in zip(range(number), cycle(kinds))
    ]


def newest_xid(number: int) -> int:
    """The transaction that committed the last of so many changes."""
    return _FIRST_XID + (number - 1) // _COMMIT_ROWS


def entities_of(number: int, *, seed: int = 0) -> list[ChangeRecord]:
    """The entities that so many changes name, as they were made: a reader of both knows everybody's name."""
    rows = (
        (entity_id, None, _entity(entity_id, node, _properties(node)))
        for entity_id, node in enumerate(_nodes(_world(number, seed)))
    )
    return [_record(offset, "entities", *images) for offset, images in enumerate(rows)]


def _world(number: int, seed: int) -> World:
    return World(seed=seed, users=max(10, number // 10), months=12, until=month_start(_COMMITTED))


def _nodes(data: World) -> list[Node]:
    return [node for node in data.nodes() if len(node.facts) >= _FIELDS]


def _properties(node: Node) -> dict[str, Any]:
    return {
        fact.field: {"value": fact.value, "reference_date": dates.to_text(fact.date)} for fact in node.facts
    }


Images = tuple[int, dict[str, Any] | None, dict[str, Any]]  # the entity's id, the row before and after


def _entities(nodes: Sequence[Node], rng: random.Random) -> Iterator[Images]:
    for number, node in cycle(enumerate(nodes)):
        before = _properties(node)
        newer = rng.sample(node.facts, min(2, len(node.facts)))
        after = before | {
            fact.field: {
                "value": fact.value,
                "reference_date": dates.to_text(fact.date + timedelta(hours=12)),
            }
            for fact in newer
        }
        yield number, _entity(number, node, before), _entity(number, node, after)


def _entity(number: int, node: Node, properties: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "type": node.type, "reference": node.reference, "properties": _jsonb(properties)}


def _edges(nodes: Sequence[Node]) -> Iterator[Images]:
    for edge_id in count(1):
        left, right = edge_id % len(nodes), edge_id * 7 % len(nodes)
        row = {"id": edge_id, "left_entity_id": left, "right_entity_id": right, "relationship_type": "owns"}
        yield left, None, row | {"metadata": None, "metadata_date": None, "removed_at": None}


def _points(data: World) -> Iterator[Images]:
    ids: dict[str, int] = {}
    while True:
        for point in data.points():
            number = ids.setdefault(point.reference, len(ids))
            yield number, None, _point(number, point)


def _point(number: int, point: Point) -> dict[str, Any]:
    _, period = dates.period_of(point.date, point.granularity)
    return {
        "entity_id": number,
        "key": point.key,
        "granularity": point.granularity,
        "period_start": dates.to_text(point.period_start),
        "reference_date": dates.to_text(point.date),
        "version": 0,
        "value": _jsonb(orjson.loads(point.value)),
        "idempotency_key": f"{number}:{point.key}:{point.granularity}:{period}",
    }


def _jsonb(value: object) -> str:
    """Text as jsonb spells it: with a space after colons and commas."""
    return json.dumps(value, ensure_ascii=False)


def _record(
    offset: int, table: str, entity_id: int, before: dict[str, Any] | None, after: dict[str, Any]
) -> ChangeRecord:
    commit = offset // _COMMIT_ROWS
    committed_ms = dates.to_epoch_ms(_COMMITTED) + commit * 40
    stamps = {"created_at": dates.to_text(_COMMITTED), "updated_at": dates.to_text(_COMMITTED)}
    source = {
        "version": "3.7.0.Final", "connector": "postgresql", "name": "user-profile", "ts_ms": committed_ms,
        "snapshot": "false", "db": "user_profile_db", "sequence": f'["{offset}","{offset + 100}"]',
        "ts_us": committed_ms * 1_000, "ts_ns": committed_ms * 1_000_000, "schema": "public", "table": table,
        "txId": _FIRST_XID + commit, "lsn": 128_000_000 + offset, "xmin": None, "origin": None, "origin_lsn": None,
    }  # fmt: skip
    envelope = {
        "before": before | stamps if before else None,
        "after": after | stamps,
        "source": source,
        "transaction": None,
        "op": "u" if before else "c",
        "ts_ms": committed_ms + 40,
    }
    key = orjson.dumps({"entity_id": entity_id})
    return ChangeRecord("user-profile.cdc.all-tables", 0, offset, committed_ms, key, orjson.dumps(envelope))
