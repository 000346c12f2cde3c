"""For each property of an entity the date that won, and where the statement came from."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import asyncpg
import msgspec

from app.core.models import EntityKey, Source
from app.ports.graph import Answer
from storage.cache.keyspace import FORMAT_VERSION
from storage.postgres import stored_sources
from storage.postgres.replicas import ReadSource
from storage.read.entity_index import rows_of

_TEXTS: Final = msgspec.json.Decoder(dict[str, str])


class _Stored(msgspec.Struct):
    reference_date: str
    removed: bool = False


class _Property(msgspec.Struct, omit_defaults=True):
    reference_date: str
    source: Source | None
    removed: bool = False


class _Provenance(msgspec.Struct):
    id: int
    type: str
    reference: str
    properties: dict[str, _Property]


_STORED: Final = msgspec.json.Decoder(dict[str, _Stored])
_ENCODER: Final = msgspec.json.Encoder()


class PostgresProvenance:
    """Implements app.ports.graph.ProvenanceReader. A replica answers that has reached what the primary has on disk
    now."""

    def __init__(self, source: ReadSource) -> None:
        self._source = source

    async def by_id(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        return await self._answer("provenance", entity_id, token=token, matches=matches)

    async def by_reference(
        self, key: EntityKey, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        return await self._answer("provenance_by_key", *key, token=token, matches=matches)

    async def _answer(
        self, name: str, *arguments: object, token: int, matches: Callable[[str], bool] | None
    ) -> Answer | None:
        reach = await self._source.position()
        read = await self._source.read(rows_of(name, *arguments), reach, token=token)
        if not read.result:
            return None
        body = _body(read.result[0])
        etag = blake2b(f"{FORMAT_VERSION}\n".encode() + body, digest_size=12).hexdigest()
        known = matches is not None and matches(etag)
        return Answer(
            body=None if known else body,
            cache="bypass",
            etag=etag,
            verified=read.verified,
            upper=read.upper,
        )


class StoredSources:
    """The sources of one row's properties, whose columns are `sources` and `topics`: both text, or null."""

    def __init__(self, row: asyncpg.Record) -> None:
        self._stored = _TEXTS.decode(row["sources"] or "{}")
        self._topics = _TEXTS.decode(row["topics"] or "{}")

    def of(self, field: str, reference_date: str) -> Source | None:
        """That of a property, as it is since this date."""
        return stored_sources.read(self._stored.get(field), reference_date, self._topics)


def _body(row: asyncpg.Record) -> bytes:
    told = StoredSources(row)
    properties = {
        field: _Property(stored.reference_date, told.of(field, stored.reference_date), stored.removed)
        for field, stored in _STORED.decode(row["properties"] or "{}").items()
    }
    return _ENCODER.encode(_Provenance(row["id"], row["type"], row["reference"], properties))
