"""Erasure on real servers: what is erased stays erased, whatever was on its way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import storage.erasure.eraser
from app.config.settings import Settings
from app.core.errors import FatalError, InvalidError
from app.core.failpoints import Hooks
from app.core.models import Batch, EdgeRow, EntityKey
from storage.postgres.queries import query
from storage.stores import Stores
from tests.rows import edge, entity, point, prop, user

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)


def after(told: datetime) -> datetime:
    return told + timedelta(microseconds=1)


async def references(db: Any) -> set[str]:
    return {row["reference"] for row in await db.fetch("SELECT reference FROM entities")}


async def count(db: Any, table: str) -> int:
    found: int = await db.fetchval(f"SELECT count(*) FROM {table}")
    return found


def edge_told(left: str, right: str, told_at: datetime) -> EdgeRow:
    return edge(left, right)._replace(told_at=told_at)


def everything(told_at: datetime) -> Batch:
    """One row of each kind about `a`."""
    return Batch(
        entities=[entity("a", told_at)],
        properties=[prop("a", "f", "1", told_at=told_at)],
        edges=[edge_told("a", "b", told_at), edge_told("c", "a", told_at)],
        temporal=[point("a", "k", "1", told_at=told_at)],
    )


async def test_removes_the_entity_its_edges_on_both_sides_and_its_points(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(
            properties=[prop("a", "name", '"A"'), prop("b", "name", '"B"')],
            edges=[edge("a", "b"), edge("c", "a"), edge("a", "a"), edge("b", "c")],
            temporal=[point("a", "k", "1"), point("a", "k", "2", granularity="year"), point("b", "k", "3")],
        )
    )
    receipt = await stores.eraser.erase(user("a"))

    assert receipt is not None
    assert (receipt.properties, receipt.edges, receipt.points) == (1, 3, 2)
    assert await references(db) == {"b", "c"}
    assert (await count(db, "edges"), await count(db, "temporal_properties")) == (1, 1)
    noted = await db.fetchrow("SELECT * FROM erasures")
    assert noted["subject"].hex() == receipt.ledger_id
    assert noted["erased_at"] == receipt.erased_at


async def test_takes_the_placeholder_that_is_the_entity_and_not_merged_yet(stores: Stores, db: Any) -> None:
    """Afterwards nobody could tell whose its edges are."""
    unnamed = edge("c", "a")._replace(right_type="unknown")
    of_another = edge("c", "b")._replace(right_type="unknown")
    await stores.writer.write(Batch(edges=[unnamed, of_another], entities=[entity("a")]))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    assert receipt.edges == 1
    assert await references(db) == {"b", "c"}
    assert await count(db, "edges") == 1
    answer = await stores.reader.by_reference(user("c"), depth=1, since=None, token=receipt.position)
    assert answer is not None
    assert b'"reference":"a"' not in (answer.body or b"")


async def test_leaves_a_placeholder_that_may_be_somebody_else(stores: Stores, db: Any) -> None:
    unnamed = edge("c", "a")._replace(right_type="unknown")
    company = entity("a")._replace(type="company")
    await stores.writer.write(Batch(edges=[unnamed], entities=[entity("a"), company]))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    assert receipt.edges == 0
    assert await count(db, "edges") == 1


async def test_nobody_to_erase_is_none_and_nothing_is_noted(stores: Stores, db: Any) -> None:
    assert await stores.eraser.erase(user("nobody")) is None
    assert await count(db, "erasures") == 0


async def test_erased_once_whoever_asks_again_gets_the_receipt(stores: Stores, db: Any) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    entity_id = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    assert await stores.eraser.erase_id(entity_id + 1_000) is None
    first = await stores.eraser.erase_id(entity_id)
    assert first is not None
    assert (first.properties, first.edges, first.points) == (1, 2, 1)
    assert first.caches_told
    for again in (
        await stores.eraser.erase_id(entity_id),
        await stores.eraser.erase(user("a")),
        await stores.eraser.receipt(first.ledger_id),
    ):
        assert again is not None
        assert replace(again, position=first.position) == first
    assert await stores.eraser.erase(EntityKey("device", "a")) is None


async def test_an_erasure_whose_commit_was_not_heard_of_is_told_when_asked_again(
    stores: Stores, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    entity_id = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    with monkeypatch.context() as patched:
        patched.setattr(
            storage.erasure.eraser,
            "query",
            lambda name: "COMMIT_LOST" if name == "flush_position" else query(name),
        )
        with pytest.raises(FatalError):
            await stores.eraser.erase_id(entity_id)
    receipt = await stores.eraser.erase_id(entity_id)
    assert receipt is not None
    assert (receipt.edges, receipt.points, receipt.letters_checked_at) == (2, 1, None)


async def test_what_was_told_before_stays_out(stores: Stores, db: Any) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None

    # Not later than the erasure: the same instant is before it.
    changes = await stores.writer.write(everything(receipt.erased_at))

    assert not changes
    assert await references(db) == {"b", "c"}
    assert (await count(db, "edges"), await count(db, "temporal_properties")) == (0, 0)


async def test_what_is_told_after_comes_back(stores: Stores, db: Any) -> None:
    old = datetime.now(UTC) - HOUR
    await stores.writer.write(everything(old))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None

    told = everything(after(receipt.erased_at))
    told.extend(Batch(properties=[prop("a", "late", "1", told_at=old)]))
    await stores.writer.write(told)

    assert await references(db) == {"a", "b", "c"}
    assert (await count(db, "edges"), await count(db, "temporal_properties")) == (2, 1)
    # The one row that was told before does not slip in with the others.
    assert await db.fetchval("SELECT properties ? 'late' FROM entities WHERE reference = 'a'") is False


@pytest.mark.parametrize(("left", "right"), [("a", "new"), ("new", "a")])
async def test_an_edge_told_before_stays_out_by_either_end(
    stores: Stores, db: Any, left: str, right: str
) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None

    await stores.writer.write(Batch(edges=[edge_told(left, right, receipt.erased_at)]))
    assert await references(db) == {"b", "c"}, "neither end is made of an edge that is dropped"
    await stores.writer.write(Batch(edges=[edge_told(left, right, after(receipt.erased_at))]))
    assert await references(db) == {"a", "b", "c", "new"}


@pytest.mark.parametrize("left", [True, False])
async def test_an_edge_told_before_does_not_bring_the_reference_back_as_a_placeholder(
    stores: Stores, db: Any, *, left: bool
) -> None:
    def unnamed(told_at: datetime) -> Batch:
        row = edge_told("a", "c", told_at) if left else edge_told("c", "a", told_at)
        return Batch(
            edges=[row._replace(left_type="unknown") if left else row._replace(right_type="unknown")]
        )

    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    await stores.writer.write(unnamed(receipt.erased_at))
    assert await references(db) == {"b", "c"}

    # It is back, and is still the only one who can be meant.
    later = after(receipt.erased_at)
    await stores.writer.write(Batch(properties=[prop("a", "f", "1")._replace(told_at=later)]))
    await stores.writer.write(unnamed(receipt.erased_at))
    assert await db.fetchval("SELECT count(*) FROM entities WHERE type = 'unknown'") == 0

    await stores.writer.write(unnamed(later))
    assert await db.fetchval("SELECT count(*) FROM entities WHERE type = 'unknown'") == 1


async def test_an_edge_told_before_that_may_mean_another_entity_comes_in(stores: Stores, db: Any) -> None:
    company = entity("a")._replace(type="company")
    await stores.writer.write(Batch(entities=[entity("a"), company]))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    row = edge_told("c", "a", receipt.erased_at)._replace(right_type="unknown")
    await stores.writer.write(Batch(edges=[row]))
    assert await stores.placeholders.merge() == 1
    found = await db.fetchval(
        "SELECT t.type FROM edges JOIN entities t ON t.id = right_entity_id WHERE relationship_type = $1",
        row.relationship_type,
    )
    assert found == "company"


async def test_others_of_the_batch_and_of_the_same_reference_are_not_touched(stores: Stores, db: Any) -> None:
    namesake = EntityKey("device", "a")
    old = datetime.now(UTC) - HOUR
    await stores.writer.write(everything(old))
    await stores.eraser.erase(user("a"))

    told = everything(old)
    told.entities.append(entity("a", old)._replace(type=namesake.type))
    told.properties.append(prop("b", "f", "2", told_at=old))
    await stores.writer.write(told)

    found = await db.fetch("SELECT type, reference, properties <> '{}' AS told FROM entities ORDER BY 1, 2")
    assert [tuple(row) for row in found] == [
        ("device", "a", False),
        ("user", "b", True),
        ("user", "c", False),
    ]


async def test_erased_again_is_dated_again(stores: Stores, db: Any) -> None:
    first = datetime.now(UTC) - HOUR
    await stores.writer.write(everything(first))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    between = after(receipt.erased_at)
    await stores.writer.write(everything(between))
    again = await stores.eraser.erase(user("a"))
    assert again is not None
    assert again.ledger_id == receipt.ledger_id
    assert not await stores.writer.write(everything(between))
    assert await references(db) == {"b", "c"}


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While this file exists, the flush of `slow` stays where it is."""
    path = tmp_path / "hold"
    path.touch()
    return path


def release(hold: Path) -> None:
    hold.unlink(missing_ok=True)


@pytest.fixture
async def slow(settings: Settings, hold: Path) -> AsyncIterator[Stores]:
    opened = await Stores.open(settings, hooks=Hooks("after-ledger:hold", hold=hold))
    yield opened
    release(hold)
    await opened.close()


async def until_locks(db: Any, condition: str) -> None:
    """Wait until an advisory lock of this database is like that."""
    async with asyncio.timeout(60):
        while True:
            found = await db.fetchval(
                "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database "
                f"WHERE d.datname = current_database() AND locktype = 'advisory' AND {condition}"
            )
            if found:
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stored_before", [True, False])
async def test_an_erasure_waits_for_an_open_flush_and_takes_what_it_writes(
    stores: Stores, slow: Stores, hold: Path, db: Any, *, stored_before: bool
) -> None:
    if stored_before:
        await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    told = everything(datetime.now(UTC))
    told.extend(Batch(temporal=[point("a", "k2", "1", told_at=datetime.now(UTC))]))
    flush = asyncio.create_task(slow.writer.write(told))
    await until_locks(db, "granted AND mode = 'ShareLock'")
    erasure = asyncio.create_task(stores.eraser.erase(user("a")))
    await until_locks(db, "NOT granted")
    assert await references(db) == ({"a", "b", "c"} if stored_before else set())

    release(hold)
    await flush
    receipt = await erasure

    assert receipt is not None
    assert (receipt.edges, receipt.points) == (2, 2)
    assert not await slow.writer.write(told), "what the flush wrote comes back by a replay"
    assert await references(db) == {"b", "c"}
    assert (await count(db, "edges"), await count(db, "temporal_properties")) == (0, 0)


async def test_flushes_do_not_wait_for_each_other(stores: Stores, slow: Stores, hold: Path, db: Any) -> None:
    flush = asyncio.create_task(slow.writer.write(Batch(entities=[entity("a")])))
    await until_locks(db, "granted AND mode = 'ShareLock'")
    await asyncio.wait_for(stores.writer.write(Batch(entities=[entity("b")])), timeout=60)
    assert await references(db) == {"b"}
    release(hold)
    await flush


async def test_a_flush_that_begins_during_an_erasure_sees_it(stores: Stores, db: Any) -> None:
    told = everything(datetime.now(UTC) - HOUR)
    await stores.writer.write(told)
    async with db.transaction():
        # The erasure has the writers' lock and waits for this row.
        await db.execute("SELECT FROM entities WHERE reference = 'a' FOR UPDATE")
        erasure = asyncio.create_task(stores.eraser.erase(user("a")))
        await until_locks(db, "granted AND mode = 'ExclusiveLock'")
        flush = asyncio.create_task(stores.writer.write(told))
        await until_locks(db, "NOT granted AND mode = 'ShareLock'")
    assert await erasure is not None
    assert not await flush
    assert await references(db) == {"b", "c"}


async def test_a_ledger_of_another_key_is_refused(stores: Stores, settings: Settings, db: Any) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    assert await stores.eraser.erase(user("a")) is not None
    other = settings.model_copy(update={"erasure_key": SecretStr("another")})
    with pytest.raises(FatalError, match="written under another key: set PROFILE_ERASURE_KEY"):
        await Stores.open(other)
    again = await Stores.open(settings)
    await again.close()


async def test_the_ledger_says_nothing_without_its_key(stores: Stores, db: Any) -> None:
    reference = "maria.souza@example.com"
    await stores.writer.write(Batch(properties=[prop(reference, "name", '"Maria"')]))
    entity_id = await db.fetchval("SELECT id FROM entities")
    assert await stores.eraser.erase(user(reference)) is not None
    row = await db.fetchrow("SELECT * FROM erasures")
    hashes = {"subject", "reference_subject", "id_subject"}
    counts = {"properties", "edges", "points", "letters"}
    assert set(row.keys()) == {*hashes, *counts, "key_fingerprint", "erased_at", "letters_checked_at"}
    for told in (f"user\0{reference}", reference, str(entity_id)):
        plain = told.encode()
        assert not {row[name] for name in hashes} & {
            hashlib.blake2b(plain, digest_size=32).digest(),
            hashlib.sha256(plain).digest(),
        }


async def cache_everything(stores: Stores) -> None:
    """Read `a` in each way until the answers come from the cache."""
    async with asyncio.timeout(60):  # answers are stored once the replicas have what was written
        while True:
            answers = [
                await stores.reader.by_reference(user("a"), depth=1, since=None),
                await stores.reader.by_reference(user("c"), depth=1, since=None),
                await stores.reader.by_property("f", "1", depth=1, since=None, limit=10, after=0),
            ]
            if all(answer is not None and answer.cache == "hit" for answer in answers):
                break
            await asyncio.sleep(0.02)
    for answer in answers:
        assert answer is not None
        assert b'"reference":"a"' in answer.body


async def require_forgotten(stores: Stores) -> None:
    assert await stores.reader.by_reference(user("a"), depth=1, since=None) is None
    found = await stores.reader.by_property("f", "1", depth=1, since=None, limit=10, after=0)
    assert found.body == b"[]"
    neighbour = await stores.reader.by_reference(user("c"), depth=1, since=None)
    assert neighbour is not None
    assert b'"reference":"a"' not in neighbour.body


async def test_no_cache_tells_of_it_after(stores: Stores) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    await cache_everything(stores)
    assert await stores.eraser.erase(user("a")) is not None
    await require_forgotten(stores)


async def test_caches_are_told_when_only_the_commit_was_heard_of(
    stores: Stores, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stores.writer.write(everything(datetime.now(UTC) - HOUR))
    await cache_everything(stores)
    monkeypatch.setattr(
        storage.erasure.eraser,
        "query",
        lambda name: "SELECT 1 / 0" if name == "flush_position" else query(name),
    )
    with pytest.raises(InvalidError):
        await stores.eraser.erase(user("a"))
    assert await references(db) == {"b", "c"}
    await require_forgotten(stores)
