"""The fragment: everything of one entity that an answer needs, already serialised.

Trees are put together from fragments by joining bytes, so that depth, period and root all meet the same ones.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import asyncpg
import msgspec
import orjson

from storage.cache.series import Series


# Hundreds of thousands of fragments may live in memory, and none of them is ever part of a cycle. So the garbage
# collector is kept from walking through them: structs are not tracked, and tuples of plain values are let go by it.
class Fragment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entity.

    `head` is the JSON object up to `edges`, without its closing brace; `stub` stands where the entity occurs again.
    `edges` holds the opening bytes of each edge and the target's id, by (relationship type, id). `position` is the
    WAL position that the content has reached at least, `upper` one that was read after the content; `read_at` is the
    time of reading in seconds since 1970; `digest` is over the content alone. `below` is a hint, which may be old or
    missing: what a walk from here met on its second level, its third, and so on. `points_total` is how many points
    there are, where `temporal` holds the latest of them alone, else 0.
    """

    id: int
    head: bytes
    stub: bytes
    edges: tuple[tuple[bytes, int], ...]
    edges_total: int
    temporal: tuple[Series, ...]
    position: int
    upper: int
    read_at: float
    digest: bytes
    below: tuple[tuple[int, ...], ...] = ()
    points_total: int = 0

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        size = 500 + len(self.head) + len(self.stub) + 150 * len(self.edges)
        for series in self.temporal:
            size += series.size_bytes
        for level in self.below:
            size += 40 + 40 * len(level)
        return size


MAX_HINTED: Final = 200
_MAX_FOLLOWED: Final = 20 * MAX_HINTED  # edges: where all know each other, a walk costs much and finds little

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Fragment)
_JSON: Final = msgspec.json.Encoder()
_PROPERTIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
# As jsonb spells what `stored_property` makes. Within a value it does not begin a property.
_REMOVED: Final = b'{"removed": true, "reference_date": "'


def encode(fragment: Fragment) -> bytes:
    """The cache's form of a fragment."""
    return _ENCODER.encode(fragment)


def decode(data: bytes) -> Fragment | None:
    """Read the cache's form; None for bytes that are not one."""
    try:
        return _DECODER.decode(data)
    except msgspec.MsgspecError:
        return None


def from_row(row: asyncpg.Record, *, position: int, upper: int, read_at: float) -> Fragment:
    """Serialise a row of the query `graph`."""
    entity_id: int = row["id"]
    properties: bytes = visible(row["properties"])
    type_json, reference_json = orjson.dumps(row["type"]), orjson.dumps(row["reference"])
    name = b'{"id":%d,"type":%b,"reference":%b' % (entity_id, type_json, reference_json)
    head = b'%b,"properties":%b,"created_at":"%b","updated_at":"%b","edges":[' % (
        name,
        properties,
        row["created_at"].encode(),
        row["updated_at"].encode(),
    )
    kinds = row["types"] or ()
    openings = {kind: b'{"type":%b,"entity":' % orjson.dumps(kind) for kind in set(kinds)}
    edges = tuple(
        [(openings[kind], target) for kind, target in zip(kinds, row["targets"] or (), strict=True)]
    )
    temporal = _temporal(row)
    digest = blake2b(head, digest_size=12)
    digest.update(_ENCODER.encode((edges, row["edges_total"], temporal)))
    points_total: int = row["points_total"] or 0
    if points_total:
        digest.update(b"%d" % points_total)
    return Fragment(
        id=entity_id,
        head=head,
        stub=name + b',"repeated":true}',
        edges=edges,
        edges_total=row["edges_total"],
        temporal=temporal,
        position=position,
        upper=upper,
        read_at=read_at,
        digest=digest.digest(),
        points_total=points_total,
    )


def with_hint(fragment: Fragment, fragments: Mapping[int, Fragment]) -> Fragment:
    """The same, with what lies below it among the fragments that were read with it."""
    seen = {fragment.id, *(target for _, target in fragment.edges)}
    level, count, followed = [target for _, target in fragment.edges], 0, 0
    below: list[tuple[int, ...]] = []
    while level:
        following: list[int] = []
        for node in level:
            edges = fragments[node].edges if node in fragments else ()
            followed += len(edges)
            if followed > _MAX_FOLLOWED:
                return msgspec.structs.replace(fragment, below=tuple(below)) if below else fragment
            for _, target in edges:
                if target not in seen:
                    seen.add(target)
                    following.append(target)
        count += len(following)
        if not following or count > MAX_HINTED:
            break
        below.append(tuple(following))
        level = following
    return msgspec.structs.replace(fragment, below=tuple(below)) if below else fragment


def visible(properties: str) -> bytes:
    """The JSON object without its removed properties; byte for byte where there is none."""
    told = properties.encode()
    if _REMOVED not in told:
        return told
    members = _PROPERTIES.decode(told)
    return _JSON.encode({name: raw for name, raw in members.items() if not bytes(raw).startswith(_REMOVED)})


def _temporal(row: asyncpg.Record) -> tuple[Series, ...]:
    series: dict[str, list[bytes]] = {}
    columns = (row["keys"] or (), row["granularities"] or (), row["dates"] or (), row["points"] or ())
    for key, granularity, date, value in zip(*columns, strict=True):
        point = f'{{"value":{value},"granularity":"{granularity}","reference_date":"{date}"}}'.encode()
        series.setdefault(key, []).append(point)
    return tuple(Series.of(orjson.dumps(key) + b":[", points) for key, points in series.items())
