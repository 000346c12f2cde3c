"""Erasures in pieces: hidden at once, deleted by whoever has its turn, and nothing of it comes back."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.erasure import DeletionProgress, ErasureReceipt
from app.core.failpoints import Hooks
from app.core.models import Batch, EntityKey
from storage.stores import Stores
from tests.rows import edge, entity, point, prop, user

pytestmark = pytest.mark.integration

OLD = datetime.now(UTC) - timedelta(hours=1)
PIECE = 50


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"erasure_piece_rows": PIECE, "erasure_rows_per_s": 1_000_000})


def hub(edges: int, points: int = 0) -> Batch:
    """`a`, with half of its edges in either direction."""
    return Batch(
        properties=[prop("a", "name", '"A"', told_at=OLD), prop("n0", "name", '"N"', told_at=OLD)],
        edges=[
            (edge("a", f"n{n}") if n % 2 else edge(f"n{n}", "a"))._replace(told_at=OLD) for n in range(edges)
        ],
        temporal=[
            point("a", f"k{n}", "1", told_at=OLD)._replace(
                period_start=datetime(2020 + n % 5, 1, 1, tzinfo=UTC)
            )
            for n in range(points)
        ],
    )


async def hide(stores: Stores, edges: int = 4 * PIECE, points: int = 0) -> ErasureReceipt:
    await stores.writer.write(hub(edges, points))
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    return receipt


async def delete(stores: Stores) -> int:
    """Delete all pieces; how many there were."""
    pieces = 0
    while await stores.deletions.piece():
        pieces += 1
        assert pieces < 1_000
    return pieces


async def rows_of(db: Any, entity_id: int) -> int:
    found: int = await db.fetchval(
        "SELECT (SELECT count(*) FROM edges WHERE $1 IN (left_entity_id, right_entity_id))"
        " + (SELECT count(*) FROM temporal_properties WHERE entity_id = $1)",
        entity_id,
    )
    return found


async def id_of(db: Any, reference: str) -> int:
    found: int = await db.fetchval("SELECT id FROM entities WHERE reference = $1", reference)
    return found


async def test_an_entity_with_as_many_rows_as_a_piece_goes_in_one_transaction(
    stores: Stores, db: Any
) -> None:
    receipt = await hide(stores, PIECE - 2, 2)
    assert (receipt.edges, receipt.points, receipt.deletion) == (PIECE - 2, 2, None)
    assert await db.fetchval("SELECT count(*) FROM entity_deletions") == 0


async def test_the_answer_comes_with_the_first_transaction_and_the_counts_with_the_last(
    stores: Stores, db: Any
) -> None:
    await stores.writer.write(hub(4 * PIECE, 2 * PIECE))
    entity_id = await id_of(db, "a")

    receipt = await stores.eraser.erase_id(entity_id)

    assert receipt is not None
    assert receipt.deletion == DeletionProgress(done=False, deleted=0, to_delete=None)
    assert (receipt.properties, receipt.edges, receipt.points) == (1, 0, 0)
    assert await rows_of(db, entity_id) == 6 * PIECE
    assert await stores.deletions.piece()
    seen = [await stores.eraser.erase_id(entity_id), await stores.eraser.erase(user("a"))]
    seen.append(await stores.eraser.receipt(receipt.ledger_id))
    for again in seen:
        assert again is not None
        assert again.deletion == DeletionProgress(done=False, deleted=PIECE, to_delete=6 * PIECE)
        assert (again.edges, again.erased_at) == (PIECE, receipt.erased_at)
    assert await delete(stores) == 6  # five, and the last, which deletes the entity's row
    done = await stores.eraser.erase(user("a"))
    assert done is not None
    assert done.deletion == DeletionProgress(done=True, deleted=6 * PIECE, to_delete=6 * PIECE)
    assert (done.properties, done.edges, done.points) == (1, 4 * PIECE, 2 * PIECE)
    assert await rows_of(db, entity_id) == 0
    assert await db.fetchval("SELECT count(*) FROM entities WHERE id = $1", entity_id) == 0
    noted = await db.fetchrow(
        "SELECT e.*, d.entity_id FROM erasures e JOIN entity_deletions d USING (subject)"
    )
    assert (noted["edges"], noted["points"], noted["entity_id"]) == (4 * PIECE, 2 * PIECE, None)
    assert await stores.eraser.erase_id(entity_id) is not None


async def test_no_transaction_changes_more_rows_than_a_piece_has(stores: Stores, db: Any) -> None:
    await db.execute(
        """
        CREATE TABLE gone (xid xid8, kind text);
        CREATE FUNCTION note_gone() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO gone VALUES (pg_current_xact_id(), TG_OP || ' ' || TG_ARGV[0]); RETURN NULL; END $$;
        CREATE TRIGGER note_gone AFTER UPDATE OR DELETE ON edges FOR EACH ROW EXECUTE FUNCTION note_gone('edge');
        CREATE TRIGGER note_gone AFTER UPDATE OR DELETE ON temporal_properties
            FOR EACH ROW EXECUTE FUNCTION note_gone('point');
        """
    )
    await hide(stores, 3 * PIECE + 7, PIECE + 3)
    await delete(stores)
    counts = [tuple(row) for row in await db.fetch("SELECT kind, count(*) FROM gone GROUP BY xid, kind")]
    assert Counter(counts) == {
        ("UPDATE edge", PIECE): 3,
        ("DELETE edge", PIECE): 3,
        ("UPDATE edge", 7): 1,
        ("DELETE edge", 7): 1,
        ("UPDATE point", PIECE): 1,
        ("DELETE point", PIECE): 1,
        ("UPDATE point", 3): 1,
        ("DELETE point", 3): 1,
    }


async def test_nothing_reads_it_from_the_first_transaction_on(stores: Stores, db: Any) -> None:
    await stores.writer.write(hub(4 * PIECE, 3))
    entity_id, neighbour = await id_of(db, "a"), await id_of(db, "n0")
    reader = stores.reader

    async def read(token: int = 0) -> list[bytes | None]:
        answers = [
            await reader.graph(entity_id, depth=2, since=None, token=token),
            await reader.by_reference(user("a"), depth=1, since=None, token=token),
            await reader.by_property("name", "A", depth=1, since=None, limit=10, after=0, token=token),
            await reader.graph(neighbour, depth=2, since=None, token=token),
            await reader.batch([neighbour, entity_id], depth=1, since=None, token=token),
        ]
        return [None if answer is None else answer.body for answer in answers]

    for _ in range(3):  # so that caches and memory have all of it
        before = await read()
    assert all(b'"reference":"a"' in (body or b"") for body in before)
    receipt = await stores.eraser.erase_id(entity_id)
    assert receipt is not None
    for token in (0, receipt.position):
        for _ in range(2):
            whole, by_key, looked_up, tree, batch = await read(token)
            assert (whole, by_key, looked_up) == (None, None, b"[]")
            for body in (tree, batch):
                assert body is not None
                assert b'"reference":"n0"' in body
                assert b'"edges":[]' in body
                assert b"entity-" not in body
    listed = await stores.entities.page(None, after=0, limit=1000)
    assert b'"n0"' in (listed.body or b"")
    assert b"entity-" not in (listed.body or b"")
    async with stores.exporter.export(entity_id) as export:
        assert export is None
    async with stores.exporter.export(neighbour) as export:
        assert export is not None
        assert [line async for line in export if "edge" in str(line)] == []
    assert await stores.provenance.by_id(entity_id) is None


async def test_records_of_before_stay_out_while_it_goes_on(stores: Stores, db: Any) -> None:
    await hide(stores)
    assert await stores.deletions.piece()
    changes = await stores.writer.write(hub(4 * PIECE))
    assert not changes.entities
    await delete(stores)
    assert not await stores.writer.write(hub(4 * PIECE))
    assert await db.fetchval("SELECT count(*) FROM edges") == 0
    assert await db.fetchval("SELECT count(*) FROM entities WHERE reference = 'a'") == 0


async def test_who_comes_back_meanwhile_is_another_entity_and_stays(stores: Stores, db: Any) -> None:
    await stores.writer.write(hub(4 * PIECE))
    entity_id = await id_of(db, "a")
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    assert await stores.deletions.piece()
    later = receipt.erased_at + timedelta(seconds=1)

    changes = await stores.writer.write(
        Batch(
            properties=[prop("a", "name", '"back"', told_at=later)],
            edges=[edge("a", "n0")._replace(told_at=later), edge("n0", "a")._replace(told_at=later)],
        )
    )

    back = await id_of(db, "a")
    assert back != entity_id
    tree = await stores.reader.by_reference(user("n0"), depth=2, since=None, token=changes.position)
    assert tree is not None
    assert b'"back"' in (tree.body or b"")
    await delete(stores)
    assert await rows_of(db, back) == 2
    assert await stores.reader.graph(back, depth=1, since=None) is not None
    # The receipt is that of the erasure; the entity that came back is erased by a DELETE of its own.
    again = await stores.eraser.erase(user("a"))
    assert again is not None
    assert again.erased_at > receipt.erased_at
    assert again.edges == 2


async def test_who_came_back_and_is_erased_while_it_goes_on(stores: Stores, db: Any) -> None:
    first = await hide(stores)
    later = first.erased_at + timedelta(seconds=1)
    await stores.writer.write(Batch(edges=[edge("a", "n0")._replace(told_at=later)]))
    await stores.eraser.erase(user("a"))
    told = await stores.eraser.erase(user("a"))
    assert told is not None
    assert told.deletion is not None
    assert not told.deletion.done  # rows of the person are there as long as the first one goes on
    await delete(stores)
    told = await stores.eraser.erase(user("a"))
    assert told is not None
    assert (told.edges, told.deletion) == (1, None)
    assert await db.fetchval("SELECT count(*) FROM edges") == 0


async def test_flushes_go_on_while_a_piece_is_being_deleted(stores: Stores, db: Any) -> None:
    await hide(stores)
    async with db.transaction():
        assert await db.fetchval(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('user_profile.deletions', 0))"
        )
        await db.execute("SELECT pg_advisory_xact_lock_shared(writers_lock())")
        await db.execute("DELETE FROM edges WHERE id IN (SELECT id FROM edges LIMIT 10)")
        # Another worker has its turn; a flush about a neighbour waits for nothing.
        assert not await stores.deletions.piece()
        async with asyncio.timeout(5):
            await stores.writer.write(
                Batch(properties=[prop("n1", "x", "1")], edges=[edge("n1", "n2"), edge("z", "n2")])
            )


async def test_deletions_take_turns(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(edges=[edge(left, f"{left}{n}") for left in ("a", "b") for n in range(4 * PIECE)])
    )
    for reference in ("a", "b"):
        await stores.eraser.erase(user(reference))
    for _ in range(4):
        assert await stores.deletions.piece()
    assert [row["edges"] for row in await db.fetch("SELECT edges FROM entity_deletions")] == [2 * PIECE] * 2
    state = await stores.deletions.under_way()
    assert (state.deletions, state.rows_left, state.slot_has_room) == (2, 4 * PIECE, True)
    await delete(stores)
    assert (await stores.deletions.under_way()).deletions == 0
    assert await db.fetchval("SELECT count(*) FROM edges") == 0


async def test_the_pause_counts_for_all_processes(settings: Settings) -> None:
    slow = settings.model_copy(update={"erasure_rows_per_s": 1})
    first, second = await Stores.open(slow), await Stores.open(slow)
    await hide(first)
    assert await first.deletions.piece()
    assert not await second.deletions.piece()
    assert await second.deletions.piece(paced=False)
    await first.close()
    await second.close()


async def test_workers_in_turns_find_what_the_other_one_left(settings: Settings) -> None:
    workers = [await Stores.open(settings) for _ in range(2)]
    await hide(workers[0], 8 * PIECE)
    for turn in range(6):
        assert await workers[turn % 2].deletions.piece()
    assert (await workers[0].deletions.under_way()).rows_left == 2 * PIECE
    for stores in workers:
        await stores.close()


async def test_two_workers_at_once_delete_each_row_once(settings: Settings, db: Any) -> None:
    workers = [await Stores.open(settings) for _ in range(2)]
    await hide(workers[0], 20 * PIECE)

    async def work(stores: Stores) -> None:
        while (await stores.deletions.under_way()).deletions:
            await stores.deletions.piece()

    await asyncio.gather(*map(work, workers))
    receipt = await workers[1].eraser.erase(user("a"))
    assert receipt is not None
    assert (receipt.edges, await db.fetchval("SELECT count(*) FROM edges")) == (20 * PIECE, 0)
    for stores in workers:
        await stores.close()


async def test_the_placeholder_that_is_the_entity_goes_with_it(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(
            edges=[edge(f"n{n}", "a")._replace(right_type="unknown") for n in range(2 * PIECE)],
            properties=[prop("a", "name", '"A"')],
        )
    )
    tree = await stores.reader.by_reference(user("n0"), depth=1, since=None)
    assert tree is not None
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    assert receipt.deletion is not None
    assert await stores.placeholders.merge() == 0
    tree = await stores.reader.by_reference(user("n0"), depth=1, since=None)
    assert tree is not None
    assert b'"edges":[]' in (tree.body or b"")
    await delete(stores)
    done = await stores.eraser.erase(user("a"))
    assert done is not None
    assert (done.edges, done.deletion) == (
        2 * PIECE,
        DeletionProgress(done=True, deleted=2 * PIECE, to_delete=2 * PIECE),
    )
    assert await db.fetchval("SELECT count(*) FROM edges") == 0
    assert await db.fetchval("SELECT count(*) FROM entities WHERE reference !~ '^n'") == 0


async def test_a_merge_that_moves_an_edge_of_it_meanwhile_leaves_none(stores: Stores, db: Any) -> None:
    """The edge gets another id and another end, after the deletion had looked for it."""
    batch = hub(4 * PIECE)
    batch.edges.append(edge("p", "a")._replace(left_type="unknown", told_at=OLD))
    await stores.writer.write(batch)
    await stores.eraser.erase(user("a"))
    assert await stores.deletions.piece()
    await stores.writer.write(Batch(entities=[entity("p")]))
    assert await stores.placeholders.merge() == 1
    await delete(stores)
    assert await db.fetchval("SELECT count(*) FROM edges") == 0
    done = await stores.eraser.erase(user("a"))
    assert done is not None
    assert done.edges == 4 * PIECE + 1


async def test_it_does_not_end_while_an_edge_is_there_that_came_after_the_look(
    stores: Stores, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a merge commits one between the question for edges and the transaction."""

    async def none(*_: object) -> list[int]:
        return []

    await hide(stores)
    with monkeypatch.context() as patched:
        patched.setattr(stores.deletions, "_next_edges", none)
        assert await stores.deletions.piece()
    assert (await stores.deletions.under_way()).deletions == 1
    await delete(stores)
    assert await db.fetchval("SELECT count(*) FROM edges") == 0
    assert (await stores.deletions.under_way()).deletions == 0


async def test_the_stream_can_name_it_until_its_last_row_is_gone(stores: Stores, db: Any) -> None:
    await stores.writer.write(hub(2 * PIECE))
    entity_id = await id_of(db, "a")
    await stores.eraser.erase(user("a"))
    assert await stores.directory.keys_of([entity_id]) == {entity_id: EntityKey("user", "a")}
    async with stores.publish_fence.publishing([entity_id]) as erased:
        assert erased == {entity_id}
    await delete(stores)
    assert await stores.directory.keys_of([entity_id]) == {}
    later = datetime.now(UTC) + timedelta(seconds=1)
    await stores.writer.write(Batch(entities=[entity("a", later)]))
    await stores.eraser.erase(user("a"))  # the ledger has the id of this one now
    async with stores.publish_fence.publishing([entity_id]) as erased:
        assert erased == {entity_id}


class Crash(Exception):
    pass


class CrashingHooks(Hooks):
    async def reach(self, name: str) -> None:  # type: ignore[override]
        if name == "between-pieces":
            raise Crash


async def test_another_worker_goes_on_after_a_crash_between_pieces(settings: Settings, db: Any) -> None:
    crashing = await Stores.open(settings, hooks=CrashingHooks())
    await hide(crashing)
    with pytest.raises(Crash):
        await crashing.deletions.piece()
    await crashing.close()
    stores = await Stores.open(settings)
    state = await stores.deletions.under_way()
    assert (state.deletions, state.rows_left) == (1, 3 * PIECE)
    await delete(stores)
    receipt = await stores.eraser.erase(user("a"))
    assert receipt is not None
    assert (receipt.edges, receipt.deletion and receipt.deletion.done) == (4 * PIECE, True)
    await stores.close()
