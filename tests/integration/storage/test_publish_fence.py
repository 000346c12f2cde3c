"""Between publishers of names and the publisher of an erasure, on a real primary."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.models import Batch
from storage.stores import Stores
from tests.rows import entity, user

pytestmark = pytest.mark.integration


async def waiting(db: Any) -> None:
    async with asyncio.timeout(20):
        while not await db.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
            "WHERE d.datname = current_database() AND locktype = 'advisory' AND NOT granted"
        ):
            await asyncio.sleep(0.01)


async def erase(stores: Stores, db: Any) -> int:
    await stores.writer.write(
        Batch(entities=[entity("a", datetime.now(UTC) - timedelta(hours=1)), entity("b")])
    )
    number: int = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    assert await stores.eraser.erase(user("a")) is not None
    return number


async def test_an_erasure_waits_for_those_who_took_the_name_and_later_ones_know(
    stores: Stores, db: Any
) -> None:
    await stores.writer.write(
        Batch(entities=[entity("a", datetime.now(UTC) - timedelta(hours=1)), entity("b")])
    )
    number = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    async with stores.publish_fence.publishing([number]) as erased:
        assert erased == frozenset()
        assert await stores.eraser.erase(user("a")) is not None, "an erasure itself waits for no publisher"
        fencing = asyncio.create_task(stores.publish_fence.wait_for_publishers())
        await waiting(db)
        assert not fencing.done()
    await fencing
    other = await db.fetchval("SELECT id FROM entities WHERE reference = 'b'")
    async with stores.publish_fence.publishing([number, other]) as erased:
        assert erased == {number}


async def test_a_publisher_that_fails_lets_others_go_on(stores: Stores, db: Any) -> None:
    number = await erase(stores, db)
    with pytest.raises(RuntimeError):
        async with stores.publish_fence.publishing([number]):
            raise RuntimeError
    await stores.publish_fence.wait_for_publishers()


async def test_publishers_do_not_wait_for_each_other(stores: Stores, db: Any) -> None:
    number = await erase(stores, db)
    async with (
        stores.publish_fence.publishing([number]) as first,
        stores.publish_fence.publishing([number]) as second,
    ):
        assert first == second == {number}
    async with stores.publish_fence.publishing([]) as none:
        assert none == frozenset()
        await stores.publish_fence.wait_for_publishers()


async def test_nobody_publishes_beside_one_who_is_alone_and_who_is_erased_is_told(
    stores: Stores, db: Any
) -> None:
    number = await erase(stores, db)
    entered: list[frozenset[int]] = []

    async def publish() -> None:
        async with stores.publish_fence.publishing([number]) as erased:
            entered.append(erased)

    async with stores.publish_fence.alone([number, number + 1]) as erased:
        assert erased == {number}
        publishing = asyncio.create_task(publish())
        await waiting(db)
        assert entered == []
    await publishing
    assert entered == [{number}]
