"""Trees on PostgreSQL and Redis: their shape, their freshness, and what happens when a server is gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.models import Batch, EntityKey, EntityRow
from app.ports.graph import Answer
from storage.stores import Stores
from tests.rows import DAY0, edge, entity, point, prop, user

pytestmark = pytest.mark.integration


async def read(stores: Stores, reference: str, *, depth: int = 3, since: datetime | None = None) -> Answer:
    answer = await stores.reader.by_reference(user(reference), depth=depth, since=since)
    assert answer is not None
    return answer


async def find(
    stores: Stores, path: str, value: str, *, limit: int = 100, after: int = 0
) -> tuple[list[str], Answer]:
    answer = await stores.reader.by_property(path, value, depth=1, since=None, limit=limit, after=after)
    return [tree["reference"] for tree in json.loads(answer.body)], answer


async def test_the_shape_of_a_tree(stores: Stores) -> None:
    await stores.writer.write(
        Batch(
            properties=[prop("a", "name", '"Ána \\"x\\""')],
            edges=[edge("a", "c", "member_of"), edge("a", "b", "has"), edge("b", "a", "back")],
            temporal=[
                point("a", "tpv", '{"n": 2}', date=datetime(2025, 2, 28, 23, 59, 59, tzinfo=UTC)),
                point("a", "tpv", '{"n": 1}', date=datetime(2025, 1, 31, 23, 59, 59, tzinfo=UTC)),
            ],
        )
    )
    tree = json.loads((await read(stores, "a")).body)
    assert list(tree) == [
        *("id", "type", "reference", "properties", "created_at", "updated_at", "edges", "temporal_data"),
    ]
    assert tree["properties"] == {
        "name": {"value": 'Ána "x"', "reference_date": "2025-01-15T10:30:00.000000Z"}
    }
    assert tree["created_at"].endswith("Z")
    assert [e["type"] for e in tree["edges"]] == ["has", "member_of"]
    has, member_of = (e["entity"] for e in tree["edges"])
    assert has["edges"] == [
        {"type": "back", "entity": {"id": tree["id"], "type": "user", "reference": "a", "repeated": True}}
    ]
    assert (member_of["edges"], member_of["temporal_data"], has["properties"]) == ([], None, {})
    assert [(p["value"], p["granularity"]) for p in tree["temporal_data"]["tpv"]] == [
        ({"n": 1}, "month"),
        ({"n": 2}, "month"),
    ]
    since = await read(stores, "a", depth=1, since=datetime(2025, 2, 1, tzinfo=UTC))
    shallow = json.loads(since.body)
    assert [p["value"]["n"] for p in shallow["temporal_data"]["tpv"]] == [2]
    assert [e["entity"]["edges"] for e in shallow["edges"]] == [[], []]
    batch = await stores.reader.batch([tree["id"], 2**60, tree["id"]], depth=3, since=None)
    assert json.loads(batch.body) == [tree, None, tree]
    assert await stores.reader.graph(2**60, depth=1, since=None) is None


async def test_a_node_budget_cuts_in_plain_sight(settings: Settings) -> None:
    stores = await Stores.open(settings.model_copy(update={"graph_node_budget": 4}))
    try:
        await stores.writer.write(Batch(edges=[edge("a", f"b{n}") for n in range(6)]))
        tree = json.loads((await read(stores, "a")).body)
        assert len(tree["edges"]) == 3
        assert tree["truncated"] == {"edges_total": 6}
    finally:
        await stores.close()


async def test_the_second_read_asks_postgres_nothing(stores: Stores) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b")], properties=[prop("a", "mail", '"x"')]))
    first, second = await read(stores, "a"), await read(stores, "a")
    assert (first.cache, first.stored, second.cache) == ("miss", True, "hit")
    assert first.body == second.body
    assert (await read(stores, "a", depth=1)).cache == "hit"
    assert [(await find(stores, "mail", "x"))[1].cache for _ in range(2)] == ["miss", "hit"]
    assert [(await find(stores, "mail", "y"))[1].cache for _ in range(2)] == ["miss", "hit"]


async def test_everything_can_be_dropped_on_all_nodes(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop(f"n{n}", "f", "1") for n in range(20)]))
    for cache in ("miss", "hit"):
        assert [(await read(stores, f"n{n}")).cache for n in range(20)] == [cache] * 20
    assert await stores.invalidator.drop_all()
    assert [(await read(stores, f"n{n}")).cache for n in range(20)] == ["miss"] * 20


async def test_every_kind_of_write_shows_at_once(stores: Stores) -> None:
    absent = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert absent is None
    await stores.writer.write(Batch(entities=[entity("a")]))
    previous = (await read(stores, "a")).body
    for batch in (
        Batch(properties=[prop("a", "f", "1")]),
        Batch(edges=[edge("a", "b")]),
        Batch(temporal=[point("a", "k", "1")]),
        Batch(properties=[prop("b", "f", "1")]),
        Batch(temporal=[point("b", "k", "2")]),
    ):
        assert (await read(stores, "a")).cache == "hit"
        await stores.writer.write(batch)
        answer = await read(stores, "a")
        assert answer.cache == "miss"
        assert answer.body != previous
        previous = answer.body


async def test_lookups_follow_old_and_new_values(stores: Stores) -> None:
    async def expect(path: str, value: str, *references: str) -> None:
        for _ in range(2):
            assert (await find(stores, path, value))[0] == list(references), (path, value)

    for value in ("1", "1.0", "2", "x", "true"):
        await expect("doc.number", value)
    await stores.writer.write(Batch(properties=[prop("a", "doc", '{"number": 1.0, "tags": ["x", 1]}')]))
    await stores.writer.write(Batch(properties=[prop("b", "doc", '{"number": "1"}')]))
    await expect("doc.number", "1", "a", "b")
    await expect("doc.value.number", "1.0", "a")
    await expect("doc.tags", "x")
    await stores.writer.write(Batch(properties=[prop("a", "doc", '{"number": true}', 1)]))
    await expect("doc.number", "1", "b")
    await expect("doc.number", "1.0")
    await expect("doc.number", "true", "a")
    await stores.writer.write(Batch(properties=[prop("c", "doc", '{"number": null}')]))
    await expect("doc.number", "null", "c")
    await expect("doc.number", "1e99999999999999999999")


async def test_pages_of_a_lookup_lead_to_every_entity(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop(f"p{n:04}", "kind", '"x"') for n in range(1_005)]))
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        references, answer = await find(stores, "kind", "x", limit=300, after=after)
        found += references
        after = answer.next_after
    assert found == [f"p{n:04}" for n in range(1_005)]


async def race(stores: Stores, between: Callable[[], Awaitable[object]]) -> None:
    """Read entity `a`, with `between` happening after PostgreSQL was read and before the answer is stored."""
    cache = stores.cache
    fill = cache.fill

    async def late_fill(entries: Any) -> bool:
        await between()
        return await fill(entries)

    cache.fill = late_fill  # type: ignore[method-assign]
    try:
        await read(stores, "a")
    finally:
        cache.fill = fill  # type: ignore[method-assign]


async def test_a_fill_that_a_commit_overtook_is_not_stored(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))
    entity_id = json.loads((await read(stores, "a")).body)["id"]
    await stores.writer.write(Batch(properties=[prop("a", "f", "2", 1)]))

    async def commit() -> None:
        await stores.writer.write(Batch(properties=[prop("a", "f", "3", 2)]))

    await race(stores, commit)
    answer = await stores.reader.graph(entity_id, depth=1, since=None)
    assert answer is not None
    assert b'"value": 3' in answer.body
    assert answer.cache == "miss"


async def test_a_fill_does_not_overwrite_that_of_a_later_read(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))
    entity_id = json.loads((await read(stores, "a")).body)["id"]
    await stores.writer.write(Batch(properties=[prop("a", "f", "2", 1)]))

    async def commit_and_read() -> None:
        stores.cache.fill = original  # type: ignore[method-assign]
        await stores.writer.write(Batch(properties=[prop("a", "f", "3", 2)]))
        await stores.reader.graph(entity_id, depth=1, since=None)

    original = stores.cache.fill
    await race(stores, commit_and_read)
    answer = await stores.reader.graph(entity_id, depth=1, since=None)
    assert answer is not None
    assert b'"value": 3' in answer.body
    assert answer.cache == "hit"


async def test_many_concurrent_writes_and_reads_end_fresh(stores: Stores) -> None:
    await stores.writer.write(
        Batch(properties=[prop("a", "f", "0"), prop("b", "f", "0")], edges=[edge("a", "b")])
    )
    done = asyncio.Event()

    async def reads() -> None:
        while not done.is_set():
            await read(stores, "a")
            await asyncio.sleep(0)  # an answer from memory waits for nothing

    readers = [asyncio.create_task(reads()) for _ in range(4)]
    for version in range(1, 80):
        await stores.writer.write(Batch(properties=[prop("b", "f", str(version), version)]))
        tree = json.loads((await read(stores, "a")).body)
        assert tree["edges"][0]["entity"]["properties"]["f"]["value"] == version
    done.set()
    await asyncio.gather(*readers)


@pytest.fixture
async def uncached(settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(settings.model_copy(update={"cache_enabled": False}))
    yield opened
    await opened.close()


async def test_without_a_cache_a_replica_answers_only_when_it_has_caught_up(uncached: Stores) -> None:
    for version in range(1, 40):
        await uncached.writer.write(Batch(properties=[prop("a", "f", str(version), version)]))
        answer = await read(uncached, "a")
        assert f'"value": {version}'.encode() in answer.body
        assert (answer.cache, answer.verified) == ("bypass", True)


async def test_a_writer_that_reads_from_no_cache_drops_what_it_changes_for_those_that_do(
    stores: Stores, uncached: Stores
) -> None:
    for version in range(1, 4):
        await uncached.writer.write(Batch(properties=[prop("a", "f", str(version), version)]))
        expected = f'"value": {version}'.encode()
        await eventually(stores, lambda answer, expected=expected: expected in (answer.body or b""))
        await eventually(stores, lambda answer: answer.cache == "hit")


async def eventually(stores: Stores, holds: Callable[[Answer], bool]) -> None:
    """Read until it holds; another worker hears of a change a few milliseconds after its commit."""
    for _ in range(1_000):
        if holds(await read(stores, "a")):
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to hold")


async def test_the_directory_and_the_commit_log(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(entities=[entity("a"), EntityRow("organization", "a", DAY0)]))
    ids = {row["type"]: row["id"] for row in await db.fetch("SELECT id, type FROM entities")}
    assert await stores.directory.keys_of([*ids.values(), 2**60]) == {
        ids["user"]: user("a"),
        ids["organization"]: EntityKey("organization", "a"),
    }
    assert await stores.directory.types_of(["a", "nobody"]) == {"a": ["organization", "user"]}
    xid = int(await db.fetchval("SELECT xmin::text FROM entities LIMIT 1"))
    flushed = await db.fetchval("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")
    assert await stores.commit_log.visible_position([xid], timeout_s=30) >= flushed


async def test_every_dependency_is_asked(stores: Stores) -> None:
    states = [state for probe in stores.probes for state in await probe.check()]
    assert [(state.name, state.ready) for state in states] == [
        ("postgres-primary", True),
        ("postgres-replica-1", True),
        ("postgres-replica-2", True),
        ("redis", True),
    ]
    assert "bytes behind" in states[1].detail
