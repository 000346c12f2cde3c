"""Graph reads: from the cache, and for what it lacks from PostgreSQL, a level of the tree at a time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from app.clock import Clock
from app.models import EntityKey
from app.ports import Answer, CacheOutcome
from storage import graph_queries, lookups
from storage.assembly import Tree
from storage.cache import CacheLevel, Found
from storage.fragments import Fragment, decode, encode
from storage.keyspace import CacheKey, Keyspace
from storage.source import Ask, ReadSource

T = TypeVar("T")

MAX_CACHED_IDS: Final = 1_000
_DAYS_OF_MONTH: Final = 31


class IdList(msgspec.Struct, frozen=True, array_like=True):
    """A cached look-up. `asked` is the exact spelling, since several share a key; no ids: too many to be cached."""

    asked: str
    ids: list[int] | None


_IDS_ENCODER: Final = msgspec.msgpack.Encoder()
_IDS_DECODER: Final = msgspec.msgpack.Decoder(IdList)


class _Reading:
    """What one request has read, and where it came from."""

    def __init__(self) -> None:
        self.fragments: dict[int, Fragment] = {}
        self.known: set[int] = set()  # asked for, whether or not they exist
        self.asked_postgres = False
        self.bypassed = False
        self.stored = True
        self.verified = True

    def answer(self, body: bytes, next_after: int | None = None) -> Answer:
        outcome: CacheOutcome = "hit"
        if self.asked_postgres:
            outcome = "bypass" if self.bypassed else "miss"
        return Answer(
            body=body,
            cache=outcome,
            stored=outcome == "miss" and self.stored and self.verified,
            verified=self.verified,
            next_after=next_after,
        )


class CachedGraphReader:
    """Implements app.ports.GraphReader. A tree is not one snapshot: each of its fragments is fresh."""

    def __init__(
        self,
        cache: CacheLevel,
        keyspace: Keyspace,
        source: ReadSource,
        clock: Clock,
        *,
        node_budget: int,
        retention_months: int | None,
    ) -> None:
        self._cache = cache
        self._keys = keyspace
        self._source = source
        self._clock = clock
        self._budget = node_budget
        self._retention_months = retention_months

    async def graph(self, entity_id: int, *, depth: int, since: datetime | None) -> Answer | None:
        reading = _Reading()
        body = (await self._trees([entity_id], depth, since, reading))[0]
        return None if body is None else reading.answer(body)

    async def by_reference(self, key: EntityKey, *, depth: int, since: datetime | None) -> Answer | None:
        reading = _Reading()
        cache_key = self._keys.reference(key)
        found = (await self._cache.get([cache_key]))[0]
        ids = _cached_ids(found, "")
        if ids is None:
            entity_id = await self._ask(graph_queries.id_of(key), found, reading)
            ids = [] if entity_id is None else [entity_id]
            await self._store(cache_key, found, IdList("", ids), reading)
        if not ids:
            return None
        body = (await self._trees(ids, depth, since, reading))[0]
        return None if body is None else reading.answer(body)

    async def batch(self, ids: Sequence[int], *, depth: int, since: datetime | None) -> Answer:
        reading = _Reading()
        trees = await self._trees(ids, depth, since, reading)
        return reading.answer(b"[" + b",".join(tree or b"null" for tree in trees) + b"]")

    async def by_property(
        self, path: str, value: str, *, depth: int, since: datetime | None, limit: int, after: int
    ) -> Answer:
        reading = _Reading()
        ids = await self._page(lookups.canonical_path(path), value, after, limit + 1, reading)
        more = len(ids) > limit
        page = ids[:limit]
        trees = await self._trees(page, depth, since, reading)
        body = b"[" + b",".join(tree for tree in trees if tree is not None) + b"]"
        return reading.answer(body, next_after=page[-1] if more else None)

    async def _page(self, path: str, value: str, after: int, limit: int, reading: _Reading) -> list[int]:
        name = lookups.cacheable(path, value)
        found = Found()
        if name is not None:
            cache_key = self._keys.lookup(name)
            found = (await self._cache.get([cache_key]))[0]
            cached = _cached(found)
            if cached is None:
                ask = graph_queries.ids_with(path, value, after=0, limit=MAX_CACHED_IDS + 1)
                ids = await self._ask(ask, found, reading)
                cached = IdList(value, ids if len(ids) <= MAX_CACHED_IDS else None)
                await self._store(cache_key, found, cached, reading)
            if cached.asked == value and cached.ids is not None:
                return [i for i in cached.ids if i > after][:limit]
        ask = graph_queries.ids_with(path, value, after=after, limit=limit)
        return await self._ask(ask, Found(), reading)

    async def _trees(
        self, roots: Sequence[int], depth: int, since: datetime | None, reading: _Reading
    ) -> list[bytes | None]:
        trees = [Tree(root, depth=depth, budget=self._budget) for root in roots]
        while True:
            wanted = {node for tree in trees for node in tree.frontier} - reading.known
            if wanted:
                await self._fetch(sorted(wanted), reading)
            for tree in trees:
                tree.advance(reading.fragments)
            if all(tree.done for tree in trees):
                break
        since = self._retained(since)
        return [tree.render(reading.fragments, since) for tree in trees]

    def _retained(self, since: datetime | None) -> datetime | None:
        if self._retention_months is None:
            return since
        oldest = self._clock.now() - timedelta(days=_DAYS_OF_MONTH * self._retention_months)
        return oldest if since is None else max(since, oldest)

    async def _fetch(self, ids: Sequence[int], reading: _Reading) -> None:
        keys = [self._keys.fragment(i) for i in ids]
        reading.known.update(ids)
        missing: dict[int, tuple[CacheKey, bytes | None]] = {}
        for entity_id, key, found in zip(ids, keys, await self._cache.get(keys), strict=True):
            fragment = None if found.entry is None else decode(found.entry)
            if fragment is None:
                missing[entity_id] = (key, found.lease)
            else:
                reading.fragments[entity_id] = fragment
        if not missing:
            return
        leased = any(lease is not None for _, lease in missing.values())
        ask = graph_queries.fragments(list(missing), max_edges=self._budget)
        read = await self._ask(ask, Found(lease=b"" if leased else None), reading)
        reading.fragments.update(read)
        if leased and reading.verified:
            fills = [
                (missing[i][0], lease, encode(fragment))
                for i, fragment in read.items()
                if (lease := missing[i][1]) is not None
            ]
            stored = await self._cache.fill(fills) and len(fills) == len(read)
            reading.stored = reading.stored and stored

    async def _ask(self, ask: Ask[T], found: Found, reading: _Reading) -> T:
        """Read for the cache where there is a lease to store under, else wherever it is cheapest."""
        reading.asked_postgres = True
        if found.lease is not None:
            result, verified = await self._source.read_to_store(ask)
        else:
            reading.bypassed = True
            result, verified = await self._source.read(ask)
        reading.verified = reading.verified and verified
        return result

    async def _store(self, key: CacheKey, found: Found, entry: IdList, reading: _Reading) -> None:
        if found.lease is not None and reading.verified:
            stored = await self._cache.fill([(key, found.lease, _IDS_ENCODER.encode(entry))])
            reading.stored = reading.stored and stored


def _cached(found: Found) -> IdList | None:
    if found.entry is None:
        return None
    try:
        return _IDS_DECODER.decode(found.entry)
    except msgspec.MsgspecError:
        return IdList("\0", None)  # not ours: answered without the cache until it expires


def _cached_ids(found: Found, asked: str) -> list[int] | None:
    cached = _cached(found)
    return cached.ids if cached is not None and cached.asked == asked else None
