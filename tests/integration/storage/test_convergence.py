"""The same set of rows gives the same database, in any order, any batching, with any duplicates."""

import asyncio
import itertools
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.dates import to_text
from app.models import Batch, EdgeRow, EntityKey, PropertyRow, TemporalRow
from storage.stores import Stores
from tests.rows import at, edge, point, prop

pytestmark = pytest.mark.integration

Row = EntityKey | PropertyRow | EdgeRow | TemporalRow
_RUN = itertools.count()

# Spelled as jsonb spells them, so that the model can compare texts. 1 and 1.0 are equal to jsonb, not to us.
VALUES = st.sampled_from(["1", "1.0", "2", '"x"', "null", '{"a": [1, 2]}'])
NAMES = st.sampled_from(["a", "b", "c"])
SECONDS = st.integers(0, 3)
ROWS = st.one_of(
    st.builds(prop, NAMES, st.sampled_from(["f", "g"]), VALUES, SECONDS),
    st.builds(edge, NAMES, NAMES, metadata=st.none() | VALUES, seconds=SECONDS),
    st.builds(
        point,
        NAMES,
        st.just("k"),
        VALUES,
        date=st.builds(at, SECONDS),
        version=st.integers(0, 2),
        granularity=st.just("month"),
    ),
)


def batch_of(rows: list[Row], suffix: str) -> Batch:
    batch = Batch()
    for row in rows:
        if isinstance(row, PropertyRow):
            batch.properties.append(row._replace(reference=row.reference + suffix))
        elif isinstance(row, EdgeRow):
            batch.edges.append(
                row._replace(
                    left_reference=row.left_reference + suffix, right_reference=row.right_reference + suffix
                )
            )
        elif isinstance(row, TemporalRow):
            batch.temporal.append(row._replace(reference=row.reference + suffix))
    return batch


def expected(rows: list[Row]) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """What must be stored, by the rules and nothing else."""
    stored: dict[tuple[str, ...], tuple[Any, ...]] = {}

    def told(key: tuple[str, ...], rank: tuple[Any, ...]) -> None:
        stored[key] = max(stored.get(key, rank), rank)

    for row in rows:
        match row:
            case PropertyRow():
                told(("property", row.reference, row.field), (row.reference_date, row.value.encode()))
            case EdgeRow(metadata=None):
                stored.setdefault(("edge", row.left_reference, row.right_reference), ())
            case EdgeRow():
                assert row.metadata is not None
                told(
                    ("edge", row.left_reference, row.right_reference),
                    (to_text(row.told_at), row.metadata.encode()),
                )
            case TemporalRow():
                told(("point", row.reference), (to_text(row.reference_date), row.version, row.value.encode()))
    return stored


async def actual(db: Any, suffix: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    like = f"%{suffix}"
    stored: dict[tuple[str, ...], tuple[Any, ...]] = {}
    for row in await db.fetch(
        "SELECT reference, key, value ->> 'reference_date', (value -> 'value')::text "
        "FROM entities, jsonb_each(properties) WHERE reference LIKE $1",
        like,
    ):
        stored["property", row[0].removesuffix(suffix), row[1]] = (row[2], row[3].encode())
    for row in await db.fetch(
        "SELECT l.reference, r.reference, metadata_date, metadata::text FROM edges "
        "JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id WHERE l.reference LIKE $1",
        like,
    ):
        rank = () if row[2] is None else (to_text(row[2]), row[3].encode())
        stored["edge", row[0].removesuffix(suffix), row[1].removesuffix(suffix)] = rank
    for row in await db.fetch(
        "SELECT reference, reference_date, version, value::text FROM temporal_properties "
        "JOIN entities e ON e.id = entity_id WHERE reference LIKE $1",
        like,
    ):
        stored["point", row[0].removesuffix(suffix)] = (to_text(row[1]), row[2], row[3].encode())
    return stored


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, max_size=25), random=st.randoms(use_true_random=False))
async def test_any_order_split_and_repetition_converge(
    stores: Stores, db: Any, rows: list[Row], random: Random
) -> None:
    suffix = f"-{next(_RUN)}"
    deliveries = rows + random.sample(rows, len(rows) // 2)
    random.shuffle(deliveries)
    cuts = sorted(random.randrange(len(deliveries) + 1) for _ in range(3))
    for start, end in itertools.pairwise([0, *cuts, len(deliveries)]):
        await stores.writer.write(batch_of(deliveries[start:end], suffix))
    assert await actual(db, suffix) == expected(rows)
    assert not await stores.writer.write(batch_of(rows, suffix))


async def test_concurrent_workers_converge(stores: Stores, db: Any) -> None:
    random = Random(7)
    rows: list[Row] = [
        make
        for n in range(400)
        for make in (
            prop(f"e{n % 20}", f"f{n % 3}", str(random.randrange(9)), random.randrange(6)),
            edge(f"e{n % 20}", f"e{n % 7}", metadata=str(random.randrange(9)), seconds=random.randrange(6)),
            point(f"e{n % 20}", "k", str(random.randrange(9)), date=at(random.randrange(6))),
        )
    ]

    async def worker(seed: int) -> None:
        mine = list(rows)
        Random(seed).shuffle(mine)
        for start in range(0, len(mine), 150):
            await stores.writer.write(batch_of(mine[start : start + 150], "-w"))

    await asyncio.gather(*map(worker, range(5)))
    assert await actual(db, "-w") == expected(rows)
