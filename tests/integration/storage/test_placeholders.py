"""Placeholders on real servers: merged while exactly one typed entity bears their reference; edges and ids move."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.failpoints import Hooks
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow
from storage.stores import Stores
from storage.write.pace import PieceLimits
from tests.rows import DAY0, edge, entity, prop

pytestmark = pytest.mark.integration


def placeholder_edge(left: str, right: str, kind: str = "knows", **more: Any) -> EdgeRow:
    """From a user to a placeholder."""
    return edge(left, right, kind, **more)._replace(right_type="unknown")


async def ids(db: Any) -> dict[tuple[str, str], int]:
    return {(row["type"], row["reference"]): row["id"] for row in await db.fetch("SELECT * FROM entities")}


async def edges(db: Any) -> set[tuple[str, str, str, str | None]]:
    rows = await db.fetch(
        "SELECT l.type || ':' || l.reference AS left, r.type || ':' || r.reference AS right, relationship_type,"
        " CASE WHEN removed_at IS NULL THEN metadata::text ELSE 'removed' END AS told"
        " FROM edges JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id"
    )
    return {tuple(row) for row in rows}


async def test_edges_move_and_the_id_leads_on(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(edges=[placeholder_edge("a", "x", metadata='{"n": 1}'), placeholder_edge("b", "x", "likes")])
    )
    placeholder = (await ids(db))["unknown", "x"]
    assert await stores.placeholders.merge() == 0  # nobody typed bears the reference

    await stores.writer.write(Batch(entities=[entity("x")], properties=[prop("x", "name", '"X"')]))
    assert await stores.placeholders.merge() == 1
    assert await edges(db) == {
        ("user:a", "user:x", "knows", '{"n": 1}'),
        ("user:b", "user:x", "likes", None),
    }
    found = await ids(db)
    assert ("unknown", "x") not in found
    assert await stores.entities.moved_to([placeholder, 999]) == {placeholder: found["user", "x"]}
    # An event that is published later still knows whom it speaks of.
    assert await stores.directory.keys_of([placeholder]) == {placeholder: EntityKey("unknown", "x")}
    assert await stores.placeholders.merge() == 0


async def test_edges_of_the_placeholder_itself_and_between_placeholders(stores: Stores, db: Any) -> None:
    told = edge("x", "y")._replace(left_type="unknown", right_type="unknown")
    own = edge("x", "x")._replace(left_type="unknown", right_type="unknown")
    await stores.writer.write(Batch(edges=[told, own], entities=[entity("x"), entity("y")]))
    assert await stores.placeholders.merge() == 2
    assert await edges(db) == {("user:x", "user:y", "knows", None), ("user:x", "user:x", "knows", None)}


async def test_stays_where_several_types_bear_the_reference(stores: Stores, db: Any) -> None:
    other = EntityRow("company", "x", DAY0)
    await stores.writer.write(Batch(edges=[placeholder_edge("a", "x")], entities=[entity("x"), other]))
    assert await stores.placeholders.merge() == 0
    assert await edges(db) == {("user:a", "unknown:x", "knows", None)}


@pytest.mark.parametrize(
    ("placeholders", "entitys", "merged"),
    [
        ("""{"n": 1}""", """{"n": 2}""", '{"n": 2}'),  # the entity's is newer
        ("""{"n": 2}""", None, '{"n": 2}'),
        (None, """{"n": 1}""", '{"n": 1}'),
        (None, None, None),
    ],
)
async def test_the_same_edge_twice_is_one_with_the_newest_metadata(
    stores: Stores, db: Any, *, placeholders: str | None, entitys: str | None, merged: str | None
) -> None:
    for first, second in ((1, 2), (2, 1)):  # whichever was told later by its timestamp wins, ties aside
        await db.execute("TRUNCATE entities, edges, merged_entities")
        await stores.writer.write(
            Batch(
                edges=[
                    placeholder_edge("a", "x", metadata=placeholders, seconds=first),
                    edge("a", "x", metadata=entitys, seconds=second),
                ]
            )
        )
        assert await stores.placeholders.merge() == 1
        both = placeholders is not None and entitys is not None
        expected = placeholders if both and first > second else merged
        assert await edges(db) == {("user:a", "user:x", "knows", expected)}


@pytest.mark.parametrize(
    ("removed", "told"), [("user", None), ("unknown", None), ("user unknown", "removed")]
)
async def test_an_edge_is_removed_where_both_are(
    stores: Stores, db: Any, *, removed: str, told: str | None
) -> None:
    await stores.writer.write(Batch(edges=[placeholder_edge("a", "x"), edge("a", "x")]))
    await db.execute(
        "UPDATE edges SET removed_at = now() FROM entities e WHERE e.id = right_entity_id AND e.type = ANY ($1)",
        removed.split(),
    )
    assert await stores.placeholders.merge() == 1
    assert await edges(db) == {("user:a", "user:x", "knows", told)}


async def test_a_reader_sees_the_merged_tree_at_once(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(edges=[placeholder_edge("a", "x")], properties=[prop("x", "name", '"X"')])
    )
    root = (await ids(db))["user", "a"]

    async def target() -> str:
        answer = await stores.reader.graph(root, depth=3, since=None)
        assert answer is not None
        assert answer.body is not None
        (only,) = json.loads(answer.body)["edges"]
        return str(only["entity"]["type"])

    assert [await target(), await target()] == ["unknown", "unknown"]  # the second one from the cache
    key = EntityKey("unknown", "x")
    assert await stores.reader.by_reference(key, depth=1, since=None) is not None
    await stores.placeholders.merge()
    assert await target() == "user"
    assert await stores.reader.by_reference(key, depth=1, since=None) is None


async def test_flushes_meanwhile_lose_no_edge(stores: Stores, db: Any) -> None:
    """Edges to the placeholder come while it is merged, again and again: each stands at one of both in the end."""
    references = [f"u{n}" for n in range(40)]

    async def write() -> None:
        for reference in references:
            await stores.writer.write(Batch(edges=[placeholder_edge(reference, "x")]))

    async def merge() -> None:
        for _ in range(40):
            await stores.placeholders.merge()
            await asyncio.sleep(0)

    await stores.writer.write(Batch(entities=[entity("x")]))
    await asyncio.gather(write(), merge(), merge())
    await stores.placeholders.merge()
    assert await edges(db) == {(f"user:{reference}", "user:x", "knows", None) for reference in references}
    assert await db.fetchval("SELECT count(*) FROM edges") == len(references)


async def test_one_process_merges_at_a_time(stores: Stores, settings: Settings, db: Any) -> None:
    await stores.writer.write(Batch(edges=[placeholder_edge("a", "x")], entities=[entity("x")]))
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('user_profile.placeholders', 0))")
        assert await stores.placeholders.merge() is None
    assert await stores.placeholders.merge() == 1


async def test_an_erasure_ends_the_way(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[placeholder_edge("a", "x")], entities=[entity("x")]))
    placeholder = (await ids(db))["unknown", "x"]
    await stores.placeholders.merge()
    assert await stores.eraser.erase(EntityKey("user", "x")) is not None
    assert await stores.entities.moved_to([placeholder]) == {}


def placeholder_hub(edges: int) -> Batch:
    """A placeholder `x` with edges in either direction, and the entity that it is, which has some of them."""
    half = edges // 2
    return Batch(
        entities=[entity("x")],
        edges=[
            *(placeholder_edge(f"n{n}", "x", metadata=f'{{"n": {n}}}', seconds=n) for n in range(half)),
            *(edge("x", f"n{n}")._replace(left_type="unknown") for n in range(edges - half)),
            *(edge(f"n{n}", "x", metadata='{"own": true}', seconds=half // 2) for n in range(half)),
        ],
    )


@pytest.fixture
async def piecewise(settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(
        settings.model_copy(update={"erasure_piece_rows": 50, "erasure_rows_per_s": 1_000_000})
    )
    yield opened
    await opened.close()


async def test_a_large_one_is_merged_in_pieces_to_the_same_result(
    stores: Stores, piecewise: Stores, db: Any
) -> None:
    batch = placeholder_hub(220)
    await stores.writer.write(batch)
    assert await stores.placeholders.merge() == 1  # in one transaction
    whole = await edges(db)
    await db.execute("TRUNCATE entities, edges, merged_entities")
    await db.execute(
        """
        CREATE TABLE moved (xid xid8);
        CREATE FUNCTION note_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO moved VALUES (pg_current_xact_id()); RETURN NULL; END $$;
        CREATE TRIGGER note_moved AFTER DELETE ON edges FOR EACH ROW EXECUTE FUNCTION note_moved();
        """
    )
    await piecewise.writer.write(batch)
    placeholder = (await ids(db))["unknown", "x"]
    assert await piecewise.placeholders.merge() == 1
    assert await edges(db) == whole
    pieces = [row["count"] for row in await db.fetch("SELECT count(*) FROM moved GROUP BY xid")]
    assert sorted(pieces) == [20, 50, 50, 50, 50]
    assert await piecewise.entities.moved_to([placeholder]) == {placeholder: (await ids(db))["user", "x"]}


class Crash(Exception):
    pass


class CrashingHooks(Hooks):
    async def reach(self, name: str) -> None:  # type: ignore[override]
        if name == "between-pieces":
            raise Crash


async def test_after_a_crash_between_pieces_another_worker_goes_on(
    piecewise: Stores, settings: Settings, db: Any
) -> None:
    crashing = await Stores.open(
        settings.model_copy(update={"erasure_piece_rows": 50}), hooks=CrashingHooks()
    )
    await crashing.writer.write(placeholder_hub(220))
    with pytest.raises(Crash):
        await crashing.placeholders.merge()
    await crashing.close()
    placeholder, typed = (await ids(db))["unknown", "x"], (await ids(db))["user", "x"]
    count = "SELECT count(*) FROM edges WHERE $1 IN (left_entity_id, right_entity_id)"
    assert await db.fetchval(count, placeholder) == 170
    # What comes meanwhile for either of both is not lost; small ones do not wait for it.
    await piecewise.writer.write(
        Batch(
            edges=[placeholder_edge("late", "x"), edge("later", "x"), placeholder_edge("a", "y")],
            entities=[entity("y")],
        )
    )
    assert await piecewise.placeholders.merge() == 1
    assert ("unknown", "y") not in await ids(db)
    assert ("unknown", "x") in await ids(db)
    assert await piecewise.placeholders.merge() == 1
    assert ("unknown", "x") not in await ids(db)
    assert await db.fetchval(count, typed) == 222
    assert await piecewise.placeholders.merge() == 0


async def test_tells_what_waits_and_for_how_long_nothing_of_it_moved(
    settings: Settings, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_room(_limits: PieceLimits, _connection: object) -> bool:
        return False

    settings = settings.model_copy(update={"erasure_piece_rows": 50, "erasure_rows_per_s": 1_000_000})
    stores = await Stores.open(settings, hooks=CrashingHooks())
    merger = stores.placeholders
    await stores.writer.write(placeholder_hub(120))
    await stores.writer.write(Batch(edges=[placeholder_edge("a", "nobody")]))  # waits for nothing
    await db.execute("UPDATE entities SET created_at = now() - interval '2 hours' WHERE type = 'user'")
    await db.execute("UPDATE entities SET created_at = now() - interval '1 hour' WHERE type = 'unknown'")
    assert math.isnan(merger.still_s())

    with monkeypatch.context() as full:
        full.setattr(PieceLimits, "has_room", no_room)
        assert await merger.merge() is None
    assert merger.waiting() == 1
    assert 3_600 <= merger.still_s() < 7_200

    with pytest.raises(Crash):
        await merger.merge()
    assert merger.waiting() == 1
    assert 0 <= merger.still_s() < 3_600  # a piece moved
    with pytest.raises(Crash):
        await merger.merge()
    assert await merger.merge() == 1
    assert (merger.waiting(), merger.still_s()) == (0, 0)
    await stores.close()
