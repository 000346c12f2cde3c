"""A database of hubs, meshes and fat entities, and requests up to 64 KB that make the most of it."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from app.core.dates import period_of
from app.core.models import Batch, EdgeRow, EntityRow, PropertyRow, TemporalRow

TYPE: Final = "hostile"
KINDS: Final = ("hub", "mesh", "fat", "leaf")
MOST_BYTES: Final = 64 * 1024
_AT: Final = datetime(2025, 1, 1, tzinfo=UTC)
_DATE: Final = "2025-01-01T00:00:00.000000Z"
_ROWS: Final = 5_000
_LINE_BYTES: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large: targets of the hub, entities that all know each other, bytes and points of each fat one."""

    hub: int = 20_000
    mesh: int = 400
    fat: int = 20
    fat_bytes: int = 1_000_000
    points: int = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request; `body` None is a GET."""

    target: str
    body: bytes | None = None


def batches(shape: Shape) -> Iterator[Batch]:
    """What to write: a hub that leads to leaves, to the mesh and to the fat ones; all of them bear `same`: 1."""
    names = {
        "mesh": [f"mesh-{n}" for n in range(shape.mesh)],
        "fat": [f"fat-{n}" for n in range(shape.fat)],
        "leaf": [f"leaf-{n}" for n in range(shape.hub)],
    }
    everybody = ["hub-0", *names["mesh"], *names["fat"], *names["leaf"]]
    for start in range(0, len(everybody), _ROWS):
        part = everybody[start : start + _ROWS]
        yield Batch(
            entities=[EntityRow(TYPE, name, _AT) for name in part],
            properties=[PropertyRow(TYPE, name, "same", "1", _DATE, _AT) for name in part],
        )
    for start in range(1, len(everybody), _ROWS):
        yield Batch(edges=[_edge("hub-0", name) for name in everybody[start : start + _ROWS]])
    for name in names["mesh"]:
        yield Batch(edges=[_edge(name, other) for other in names["mesh"]])
    for name in names["fat"]:
        text = json.dumps("x" * shape.fat_bytes)
        yield Batch(
            properties=[PropertyRow(TYPE, name, "text", text, _DATE, _AT)],
            edges=[_edge(name, other) for other in names["fat"]],
        )
        for start in range(0, shape.points, _ROWS):
            yield Batch(temporal=[_point(name, n) for n in range(start, min(start + _ROWS, shape.points))])


def _edge(source: str, target: str) -> EdgeRow:
    return EdgeRow(TYPE, source, TYPE, target, "knows", None, _AT)


def _point(name: str, number: int) -> TemporalRow:
    date = _AT + timedelta(minutes=number)
    start, period = period_of(date, "instant")
    return TemporalRow(TYPE, name, f"k{number % 3}", "instant", start, period, date, 0, "1", _AT)


def requests(chance: random.Random, ids: Sequence[Sequence[int]]) -> Iterator[Asked]:
    """Without an end. `ids` are those of each of KINDS; what leads to much is asked for most."""
    dear = [number for kind in ids[:3] for number in kind]
    everybody = [number for kind in ids for number in kind]
    while True:
        query = _query(chance)
        match chance.randrange(6):
            case 0 | 1:
                yield Asked(target=f"/v1/graph/{chance.choice(dear)}{query}")
            case 2:
                yield Asked(target=f"/v1/graph/by-property/same/value/1{query}")
            case 3:
                kind, numbers = chance.choice([*zip(KINDS, ids, strict=True)])
                reference = f"{kind}-{chance.randrange(len(numbers))}"
                yield Asked(target=f"/v1/graph/by-reference/{TYPE}/{reference}{query}")
            case 4:
                yield Asked(target="/v1/graph/batch" + query, body=_batch(chance, [chance.choice(dear)]))
            case _:
                yield Asked(
                    target="/v1/graph/batch" + query, body=_batch(chance, chance.choice([dear, everybody]))
                )


def others(chance: random.Random, ids: Sequence[Sequence[int]]) -> Iterator[Asked]:
    """Without an end: the documented routes beside those of trees, and bodies that are dear to read or to refuse."""
    dear = [number for kind in ids[:3] for number in kind]
    everybody = [number for kind in ids for number in kind]
    while True:
        entity, limit = chance.choice([ids[0][0], chance.choice(dear)]), chance.choice([1, 50, 100])
        match chance.randrange(8):
            case 0:
                told = {"limit": limit, "direction": chance.choice(["out", "in", "both"])}
                yield Asked(target=f"/v1/graph/{entity}/relationships?{urlencode(told)}")
            case 1:
                yield Asked(target=f"/v1/graph/{chance.choice(everybody)}/provenance")
            case 2:
                yield Asked(target=f"/v1/graph/{entity}/export")
            case 3:
                yield Asked(target=f"/v1/entities?type={chance.choice([TYPE, 'none'])}&limit={limit}")
            case 4:
                yield Asked(target=f"/v1/graph/by-property/same/value/1?depth=1&limit={limit}")
            case 5:
                yield Asked(target=f"/v1/graph/by-property/{'a.' * 500}b/value/{'%22' * 1_000}")
            case 6:
                target = chance.choice(["/v1/graph/sync?dry_run=true", "/v1/temporal/ingest?dry_run=true"])
                yield Asked(target=target, body=_odd(chance))
            case _:
                yield Asked(target="/v1/graph/batch", body=_odd(chance))


def everything(chance: random.Random, ids: Sequence[Sequence[int]]) -> Iterator[Asked]:
    """Without an end: trees, and now and then something else."""
    trees, rest = requests(chance, ids), others(chance, ids)
    while True:
        yield next(rest if chance.random() < 0.3 else trees)


def _odd(chance: random.Random) -> bytes:
    """A body of nearly MOST_BYTES."""
    room = MOST_BYTES - _LINE_BYTES
    entity = b'{"type":"t","reference":"r%d","properties":{"a":{"b":[1,2,{"c":null}]}}},'
    match chance.randrange(6):
        case 0:
            return b'{"entities":[' + b'"",' * (room // 3) + b'""]}'
        case 1:
            return b'{"entity_ids":[' + b"1," * (room // 2) + b"1]}"
        case 2:
            return b"[" * (room // 2) + b"]" * (room // 2)
        case 3:
            return b"{" + b'"a":1,' * (room // 6) + b'"a":1}'
        case 4:
            made = b"".join([entity % number for number in range(room // (len(entity) + 5))])
            return b'{"entities":[' + made.rstrip(b",") + b"]}"
        case _:
            return chance.randbytes(room)


def _batch(chance: random.Random, ids: Sequence[int]) -> bytes:
    asked = chance.choices(ids, k=chance.choice([1, 2, 10, 100]))
    body = json.dumps({"entity_ids": asked}).encode()
    padding = chance.choice([0, 0, 0, MOST_BYTES - len(body) - _LINE_BYTES])
    return body + b" " * padding


def _query(chance: random.Random) -> str:
    told: dict[str, str] = {}
    if chance.random() < 0.8:
        told["depth"] = str(chance.choice([1, 2, 3, 10]))
    if chance.random() < 0.3:
        told["period"] = (_AT + timedelta(minutes=chance.randrange(20_000))).strftime("%Y-%m-%dT%H:%M:%SZ")
    if chance.random() < 0.2:
        told["fields"] = chance.choice(["properties", "edges", "edges,temporal_data", "properties.text"])
    if chance.random() < 0.1:
        told["types"] = chance.choice(["knows", "nothing", "a,b,c"])
    if chance.random() < 0.1:
        told["as_of"] = _AT.strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"?{urlencode(told)}" if told else ""
