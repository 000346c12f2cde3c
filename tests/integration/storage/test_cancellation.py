"""Whatever committed is dropped from the caches, at whichever await its caller is cancelled."""

import asyncio
from collections.abc import AsyncIterator, Container, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.models import Batch, EdgeRow, EntityKey
from storage.cache.invalidation import CacheInvalidator, Owed
from storage.cache.keyspace import CacheKey
from storage.stores import Stores
from tests.cancelling import cancelled_at
from tests.rows import edge, entity, point, prop

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC) - timedelta(hours=1)
MOST_AWAITS = 200


class Heard:
    """Stands before the invalidator and keeps which keys were dropped. Awaits before it does, as a network would."""

    def __init__(self, inner: CacheInvalidator) -> None:
        self._inner = inner
        self.keys: set[bytes] = set()
        self.key_of = inner.key_of

    async def drop(
        self, keys: Sequence[CacheKey], position: int, *, told: Container[bytes] = ()
    ) -> list[Owed]:
        await asyncio.sleep(0)
        self.keys |= {key.name for key in keys}
        return await self._inner.drop(keys, position, told=told)

    async def drop_all(self) -> bool:
        return await self._inner.drop_all()


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(
        settings.model_copy(update={"cache_enabled": False, "postgres_replica_dsns": [], "roles": []})
    )
    yield opened
    await opened.close()


@pytest.fixture
def heard(stores: Stores) -> Heard:
    standing = Heard(stores.invalidator)
    stores.invalidations._invalidator = standing  # type: ignore[assignment]
    return standing


async def settled(stores: Stores) -> None:
    """What tells the caches is a task of its own; wait for those that don't wait for a delay."""
    await asyncio.gather(*stores.invalidations._telling)


async def id_of(db: Any, kind: str, reference: str) -> int | None:
    found: int | None = await db.fetchval(
        "SELECT id FROM entities WHERE type = $1 AND reference = $2", kind, reference
    )
    return found


def told_of(stores: Stores, heard: Heard, *ids: int) -> bool:
    keyspace = stores.invalidator._keyspace
    return {keyspace.fragment(each).name for each in ids} <= heard.keys


async def test_a_write_that_is_cancelled_anywhere_reaches_the_caches_if_it_committed(
    stores: Stores, heard: Heard, db: Any
) -> None:
    await stores.writer.write(Batch(entities=[entity("a")]))
    committed = 0
    for at in count(1):
        heard.keys.clear()
        batch = Batch(
            properties=[prop("a", f"field_{at}", '"x"')],
            edges=[edge("a", f"b{at}")],
            temporal=[point("a", f"key_{at}", "1")],
        )
        cancelled = await cancelled_at(stores.writer.write(batch), at)
        await settled(stores)
        target = await id_of(db, "user", f"b{at}")
        if target is not None:
            committed += 1
            a = await id_of(db, "user", "a")
            assert a is not None
            assert told_of(stores, heard, a, target), f"cancelled at await {at}: nobody was told"
        if not cancelled:
            break
        assert at < MOST_AWAITS
    assert committed > 1  # the last one, and some that were cancelled after their commit


async def test_an_erasure_that_is_cancelled_anywhere_reaches_the_caches_if_it_committed(
    stores: Stores, heard: Heard, db: Any
) -> None:
    committed = 0
    for at in count(1):
        await stores.writer.write(Batch(edges=[edge(f"left{at}", f"gone{at}")]))
        left, gone = await id_of(db, "user", f"left{at}"), await id_of(db, "user", f"gone{at}")
        assert left is not None
        assert gone is not None
        heard.keys.clear()
        cancelled = await cancelled_at(stores.eraser.erase(EntityKey("user", f"gone{at}")), at)
        behind = not stores.invalidations.settled
        repeated = await stores.eraser.erase(EntityKey("user", f"gone{at}")) if cancelled else None
        if repeated is not None and behind and not told_of(stores, heard, left, gone):
            assert not repeated.caches_told
        await settled(stores)
        if await id_of(db, "user", f"gone{at}") is None:
            committed += 1
            assert told_of(stores, heard, left, gone), f"cancelled at await {at}: nobody was told"
        if not cancelled:
            break
        assert at < MOST_AWAITS
    assert committed > 1


async def test_a_merge_that_is_cancelled_anywhere_reaches_the_caches_if_it_committed(
    stores: Stores, heard: Heard, db: Any
) -> None:
    committed = 0
    for at in count(1):
        to_unknown: EdgeRow = edge("a", f"x{at}")._replace(right_type="unknown")
        await stores.writer.write(Batch(edges=[to_unknown]))
        placeholder = await id_of(db, "unknown", f"x{at}")
        await stores.writer.write(Batch(entities=[entity(f"x{at}")]))
        typed = await id_of(db, "user", f"x{at}")
        assert placeholder is not None
        assert typed is not None
        heard.keys.clear()
        cancelled = await cancelled_at(stores.placeholders.merge(), at)
        await settled(stores)
        if await id_of(db, "unknown", f"x{at}") is None:
            committed += 1
            assert told_of(stores, heard, placeholder, typed), f"cancelled at await {at}: nobody was told"
        else:
            assert await stores.placeholders.merge() == 1
        if not cancelled:
            break
        assert at < MOST_AWAITS
    assert committed > 1


async def test_a_transfer_that_is_cancelled_anywhere_reaches_the_caches_if_it_committed(
    stores: Stores, heard: Heard, db: Any
) -> None:
    committed = 0
    for at in count(1):
        await stores.writer.write(Batch(entities=[entity(f"gone{at}")]))
        await stores.eraser.erase(EntityKey("user", f"gone{at}"))
        entries = [each async for each in stores.erasure_transfer.entries()][-1:]
        await db.execute("DELETE FROM erasures")
        await stores.writer.write(
            Batch(entities=[entity(f"gone{at}")], edges=[edge(f"left{at}", f"gone{at}")])
        )
        left, gone = await id_of(db, "user", f"left{at}"), await id_of(db, "user", f"gone{at}")
        assert left is not None
        assert gone is not None
        heard.keys.clear()

        async def take(entries: Any = entries) -> None:
            async for _ in stores.erasure_transfer.take(entries, made_since=NOW):
                pass

        cancelled = await cancelled_at(take(), at)
        await settled(stores)
        if await id_of(db, "user", f"gone{at}") is None:
            committed += 1
            assert told_of(stores, heard, left, gone), f"cancelled at await {at}: nobody was told"
        if not cancelled:
            break
        assert at < MOST_AWAITS
    assert committed > 1
