"""Rows of the staging tables."""

from datetime import UTC, datetime

import orjson

from app.core import dates
from load.generate import postgres
from load.generate.world import World

WORLD = World(seed=1, users=20, months=2, until=datetime(2026, 1, 1, tzinfo=UTC))


def test_properties_are_stored_with_their_date_in_fixed_width() -> None:
    for node in WORLD.nodes():
        kind, reference, text = postgres.entity_row(node)
        assert (kind, reference) == (node.type, node.reference)
        stored = orjson.loads(text)
        for fact in node.facts:
            assert stored[fact.field] == {"value": fact.value, "reference_date": dates.to_text(fact.date)}
            assert len(stored[fact.field]["reference_date"]) == 27


def test_rows_match_the_columns_of_their_staging_tables() -> None:
    first = next(WORLD.nodes())
    assert len(postgres.entity_row(first)) == len(postgres.ENTITIES.columns)
    assert {len(row) for row in postgres.edge_rows(WORLD.nodes())} == {len(postgres.EDGES.columns)}
    assert {len(postgres.point_row(p)) for p in WORLD.points()} == {len(postgres.TEMPORAL.columns)}


def test_a_point_keeps_the_start_and_the_name_of_its_month() -> None:
    rows = [postgres.point_row(point) for point in WORLD.points()]
    assert {(row[4].isoformat(), row[5]) for row in rows} == {
        ("2025-11-01T00:00:00+00:00", "2025-11"),
        ("2025-12-01T00:00:00+00:00", "2025-12"),
    }
    assert {row[6] for row in rows} == {
        datetime(2025, 11, 30, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    }
