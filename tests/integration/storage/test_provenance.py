"""The source of each property: it follows who wins, and never makes a row differ."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.export import Property
from app.core.models import Batch, PropertyRow, RecordSource, RequestSource, Source
from storage.postgres.stored_sources import SourceTopics
from storage.stores import Stores
from tests.integration.storage.delivery import waiting, write_at_once
from tests.rows import at, edge, entity, prop, user

pytestmark = pytest.mark.integration


def record(offset: int, *, topic: str = "entity-properties", partition: int = 1) -> RecordSource:
    return RecordSource(topic, partition, offset)


def told(
    source: Source | None, field: str = "f", value: str | None = "1", seconds: int = 0, *, of: str = "a"
) -> PropertyRow:
    return prop(of, field, "1", seconds)._replace(value=value, source=source)


def shown(offset: int, *, topic: str = "entity-properties", partition: int = 1) -> dict[str, Any]:
    return {"kind": "record", "topic": topic, "partition": partition, "offset": offset}


async def provenance(stores: Stores, reference: str = "a") -> dict[str, Any]:
    answer = await stores.provenance.by_reference(user(reference))
    assert answer is not None
    assert answer.body is not None
    properties: dict[str, Any] = json.loads(answer.body)["properties"]
    return properties


async def sources(stores: Stores, reference: str = "a") -> dict[str, Any]:
    return {field: found["source"] for field, found in (await provenance(stores, reference)).items()}


async def row_version(db: Any) -> str:
    found: str = await db.fetchval(
        "SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY id) FROM entities"
    )
    return found


@pytest.fixture
async def silent(settings: Settings, stores: Stores) -> AsyncIterator[Stores]:
    """Stores of a process that keeps no sources, on the same database."""
    opened = await Stores.open(settings.model_copy(update={"provenance": False}))
    yield opened
    await opened.close()


async def test_tells_the_date_that_won_and_the_record_or_request(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(
            properties=[
                told(record(5), "f", seconds=1),
                told(record(9, topic="other", partition=0), "g"),
                told(RequestSource("r:1@x"), "h"),
                told(None, "i"),
            ]
        )
    )
    answer = await stores.provenance.by_reference(user("a"))
    assert answer is not None
    assert answer.body is not None
    entity_id = await db.fetchval("SELECT id FROM entities")
    day = "2025-01-15T10:30:00.000000Z"
    assert json.loads(answer.body) == {
        "id": entity_id,
        "type": "user",
        "reference": "a",
        "properties": {
            "f": {"reference_date": "2025-01-15T10:30:01.000000Z", "source": shown(5)},
            "g": {"reference_date": day, "source": shown(9, topic="other", partition=0)},
            "h": {"reference_date": day, "source": {"kind": "request", "request_id": "r:1@x"}},
            "i": {"reference_date": day, "source": None},
        },
    }
    assert (answer.cache, answer.verified, answer.upper > 0) == ("bypass", True, True)
    by_id = await stores.provenance.by_id(entity_id, token=answer.upper)
    assert by_id is not None
    assert (by_id.body, by_id.etag) == (answer.body, answer.etag)
    known = await stores.provenance.by_id(entity_id, matches=lambda etag: etag == answer.etag)
    assert known is not None
    assert known.body is None
    assert await stores.provenance.by_id(entity_id + 1) is None
    assert await stores.provenance.by_reference(user("b")) is None


async def test_an_entity_without_properties_has_none(stores: Stores) -> None:
    await stores.writer.write(Batch(entities=[entity("a")]))
    assert await provenance(stores) == {}


async def test_a_replay_with_other_offsets_changes_nothing(stores: Stores, db: Any) -> None:
    def batch(shift: int) -> Batch:
        rows = [told(record(n + shift), "f", f"{n}", of=f"u{n}") for n in range(500)]
        return Batch(properties=[*rows, told(record(shift, topic="other"), of="v")])

    await stores.writer.write(batch(0))
    await stores.writer.write(batch(0))  # the first reader of new rows sets their hint bits
    before = await row_version(db)
    written = []
    while not written or (min(written) > 0 and len(written) < 30):
        await asyncio.sleep(0.1)
        start = await db.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'")
        assert not await stores.writer.write(batch(10_000 + len(written)))
        # The position is the whole server's, so what others wrote meanwhile is in it.
        written.append(int(await db.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'") - start))
    assert min(written) == 0
    assert await row_version(db) == before
    assert await sources(stores, "u7") == {"f": shown(7)}


async def test_the_source_is_of_who_won_and_stays_with_a_tie(stores: Stores) -> None:
    write = stores.writer.write
    await write(Batch(properties=[told(record(1), "f", "2", 10), told(record(2), "g", "2", 10)]))
    # older; as old and lesser; the same again: none of them wins
    await write(
        Batch(
            properties=[
                told(record(3), "f", "9", 9),
                told(record(4), "g", "1", 10),
                told(record(5), "f", "2", 10),
            ]
        )
    )
    assert await sources(stores) == {"f": shown(1), "g": shown(2)}
    await write(Batch(properties=[told(record(6), "f", "3", 10), told(RequestSource("r"), "g", "0", 11)]))
    assert await sources(stores) == {"f": shown(6), "g": {"kind": "request", "request_id": "r"}}


async def test_of_a_batch_the_first_of_equal_statements(stores: Stores) -> None:
    rows = [told(record(n), value=value) for n, value in ((1, "1"), (2, "2"), (3, "2"), (4, "1"))]
    await stores.writer.write(Batch(properties=rows))
    assert await sources(stores) == {"f": shown(2)}


async def test_a_removal_has_a_source(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[told(record(1)), told(RequestSource("r"), value=None)]))
    assert await provenance(stores) == {
        "f": {
            "reference_date": "2025-01-15T10:30:00.000000Z",
            "source": {"kind": "request", "request_id": "r"},
            "removed": True,
        }
    }


DATED = st.tuples(st.sampled_from("ab"), st.sampled_from("fg"), st.sampled_from("123"), st.integers(0, 3))


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(statements=st.lists(DATED, min_size=1, max_size=14), seed=st.integers(0, 2**32))
async def test_any_order_and_split_tell_the_same_sources(
    stores: Stores, db: Any, statements: list[tuple[str, str, str, int]], seed: int
) -> None:
    rows = [
        told(record(n), field, value, seconds, of=reference)
        for n, (reference, field, value, seconds) in enumerate(statements)
    ]
    best: dict[tuple[str, str], tuple[str, str]] = {}
    for row in rows:
        key = row.reference, row.field
        best[key] = max(best.get(key, ("", "")), (row.reference_date, row.value or ""))
    # Several where the same was told twice: then it depends on who came first.
    possible = defaultdict(list)
    for row in rows:
        if (row.reference_date, row.value) == best[row.reference, row.field]:
            assert isinstance(row.source, RecordSource)
            possible[row.reference, row.field].append(row.source.offset)
    random = Random(seed)
    for workers in (1, 3):
        await db.execute("DELETE FROM entities")
        shuffled = random.sample(rows, len(rows))
        size = random.randint(1, len(rows))
        batches = [Batch(properties=shuffled[start : start + size]) for start in range(0, len(rows), size)]
        for first in range(0, len(batches), workers):
            await write_at_once(stores.writer, db, batches[first : first + workers])
        found = {
            (reference, field): source["offset"]
            for reference in {row.reference for row in rows}
            for field, source in (await sources(stores, reference)).items()
        }
        assert found.keys() == possible.keys()
        assert all(offset in possible[key] for key, offset in found.items())


async def test_nothing_is_kept_where_it_is_off_and_nothing_untrue_stays(
    stores: Stores, silent: Stores, db: Any
) -> None:
    await silent.writer.write(Batch(properties=[told(record(1)), told(record(2), "g")]))
    assert await db.fetchval("SELECT count(*) FROM entities WHERE sources IS NULL") == 1
    assert await db.fetchval("SELECT count(*) FROM source_topics") == 0
    assert await sources(stores) == {"f": None, "g": None}
    await stores.writer.write(Batch(properties=[told(record(3), seconds=1), told(record(4), "h")]))
    assert await sources(stores) == {"f": shown(3), "g": None, "h": shown(4)}
    await silent.writer.write(Batch(properties=[told(record(5), value="2", seconds=1)]))
    assert await sources(stores) == {"f": None, "g": None, "h": shown(4)}


async def test_a_writer_that_knows_nothing_of_sources_makes_none_untrue(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(properties=[told(record(1)), told(RequestSource("r"), "g"), told(record(2), "h")])
    )
    # As a worker of the version before writes.
    await db.execute(
        """UPDATE entities SET properties = properties || '{"f": {"value": 2, "reference_date": "2026"},
        "g": {"value": 2, "reference_date": "2026"}}'"""
    )
    assert await sources(stores) == {"f": None, "g": None, "h": shown(2)}


async def test_a_batch_that_is_refused_leaves_no_source(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[told(record(1))]))
    with pytest.raises(InvalidError):
        await stores.writer.write(
            Batch(properties=[told(record(2), seconds=1), told(record(3), value='"\\u0000"', of="b")])
        )
    assert await sources(stores) == {"f": shown(1)}


async def test_an_export_has_the_sources(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(properties=[told(record(1)), told(None, "g")]))
    async with stores.exporter.export(await db.fetchval("SELECT id FROM entities")) as lines:
        assert lines is not None
        found = {line.field: line.source async for line in lines if isinstance(line, Property)}
    assert found == {"f": record(1), "g": msgspec.UNSET}


async def test_an_erasure_leaves_no_source(stores: Stores, db: Any) -> None:
    later = at(10**9)
    await stores.writer.write(Batch(properties=[told(RequestSource("somebody@example"))]))
    assert await stores.eraser.erase(user("a")) is not None
    assert await stores.provenance.by_reference(user("a")) is None
    for (table,) in await db.fetch(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    ):
        rows = await db.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text LIKE '%somebody@example%'")
        assert rows == 0, table
    # What is told after it begins anew.
    await stores.writer.write(Batch(properties=[told(record(2), "g")._replace(told_at=later)]))
    assert await sources(stores) == {"g": shown(2)}


async def test_a_merged_placeholder_takes_nothing_away(stores: Stores, db: Any) -> None:
    to_placeholder = edge("b", "a")._replace(right_type="unknown")
    await stores.writer.write(Batch(edges=[to_placeholder]))
    placeholder = await db.fetchval("SELECT id FROM entities WHERE type = 'unknown'")
    await stores.writer.write(Batch(properties=[told(record(1))]))
    assert await stores.placeholders.merge() == 1
    assert await stores.provenance.by_id(placeholder) is None
    assert await sources(stores) == {"f": shown(1)}


async def test_writers_of_a_new_topic_agree_on_its_number(
    stores: Stores, settings: Settings, db: Any
) -> None:
    others = [await Stores.open(settings) for _ in range(3)]
    try:
        writers = [stores.writer, *(other.writer for other in others)]
        async with db.transaction():
            await db.execute("INSERT INTO source_topics (name) VALUES ('entity-properties')")
            writes = [
                asyncio.create_task(w.write(Batch(properties=[told(record(n), of=f"u{n}")])))
                for n, w in enumerate(writers)
            ]
            while await waiting(db) < len(writes):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await asyncio.gather(*writes)
    finally:
        for other in others:
            await other.close()
    assert [row["name"] for row in await db.fetch("SELECT name FROM source_topics")] == ["entity-properties"]
    for n in range(4):
        assert await sources(stores, f"u{n}") == {"f": shown(n)}


async def test_another_primary_that_does_not_know_a_topic_is_told_again(db: Any) -> None:
    topics, rows = SourceTopics(), [told(record(1))]
    first = dict(await topics.of(db, rows))
    await db.execute("DELETE FROM source_topics")
    assert await topics.of(db, rows) == first
    topics.forget()
    assert await topics.of(db, rows) != first
    assert await db.fetchval("SELECT count(*) FROM source_topics") == 1


async def test_the_stream_of_changes_has_no_table_of_it(db: Any) -> None:
    published = await db.fetch(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = 'user_profile_cdc'"
    )
    assert "source_topics" not in {row["tablename"] for row in published}
