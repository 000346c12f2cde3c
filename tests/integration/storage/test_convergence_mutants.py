"""Proof that the test of convergence can fail: each of these faults, put into the project, is seen by it.

Each one is shown by a scenario. Generated messages find them too, which takes longer and is done for a few.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from app.core import dates
from app.core.models import Granularity, TemporalRow
from storage.postgres import queries
from storage.stores import Stores
from tests.integration.storage.delivery import DELIVERIES, Rounds, messages_of, stored_after
from tests.integration.storage.ingestion_model import stored_of
from tests.integration.storage.scenarios import SCENARIOS, orders

pytestmark = pytest.mark.integration

SEARCHED = 200  # sets of messages, in which hypothesis repeats itself often


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """What is changed, and the scenario that shows it."""

    scenario: str
    sql: list[tuple[str, str, str]] = field(default_factory=list)  # query, text, text in its place
    function: str | None = None  # the body of winning_properties(stored, patch)
    attributes: dict[str, Any] = field(default_factory=dict)


def _without_offset(text: str, *, field: str) -> datetime:
    return dates.parse(text, field=field) if text[-6] not in "+-" else dates.parse(text[:-6], field=field)


class _Spelled(datetime):
    """A date that keeps how it was spelled."""

    text: str


def _as_spelled(text: str, *, field: str) -> datetime:
    date = dates.parse(text, field=field)
    spelled = _Spelled.fromtimestamp(date.timestamp(), tz=date.tzinfo)
    spelled.text = text
    return spelled


def _weeks_within(other: Granularity) -> Callable[[datetime, Granularity], tuple[datetime, str]]:
    def period_of(date: datetime, size: Granularity) -> tuple[datetime, str]:
        start, period = dates.period_of(date, size)
        return max(start, dates.period_of(date, other)[0]) if size == "week" else start, period

    return period_of


def _through_a_float(raw: bytes, field: str, max_bytes: int) -> str:
    def finite(text: str) -> float:
        return min(max(float(text), -sys.float_info.max), sys.float_info.max)

    return json.dumps(json.loads(raw, parse_float=finite))


async def _first_of_equal_dates(rows: list[TemporalRow]) -> list[TemporalRow]:
    newest: dict[Any, TemporalRow] = {}
    for row in rows:
        if row[:5] not in newest or row.reference_date > newest[row[:5]].reference_date:
            newest[row[:5]] = row
    return list(newest.values())


_WON_STORED = """
    SELECT coalesce(jsonb_object_agg(p.key, p.value), '{{}}')
    FROM jsonb_each(patch) AS p
    WHERE NOT stored ? p.key OR {}
"""
MUTANTS = {
    # Ties reversed
    "properties: the lesser of a tie passes": Mutant(
        scenario="property ties",
        sql=[
            (
                "candidate_properties",
                """COLLATE "C"\n         > coalesce((e.properties""",
                """COLLATE "C"\n         < coalesce((e.properties""",
            )
        ],
    ),
    "edges: the lesser of a tie passes": Mutant(
        scenario="edge ties",
        sql=[("candidate_edges", '::jsonb::text COLLATE "C" >', '::jsonb::text COLLATE "C" <')],
    ),
    "points: the lesser of a tie passes": Mutant(
        scenario="point ties",
        sql=[("candidate_temporal", '::jsonb::text COLLATE "C" >', '::jsonb::text COLLATE "C" <')],
    ),
    "properties: the lesser of a tie in one batch": Mutant(
        scenario="property ties",
        sql=[
            (
                "merge_staged",
                """reference_date DESC, coalesce(value::text, '~') COLLATE "C" DESC""",
                "reference_date DESC, coalesce(value::text, '~')",
            )
        ],
    ),
    "edges: the lesser of a tie in one batch": Mutant(
        scenario="edge ties", sql=[("merge_staged", 's.metadata::text COLLATE "C" DESC', "s.metadata::text")]
    ),
    "points: the lesser of a tie in one batch": Mutant(
        scenario="point ties", sql=[("merge_staged", 's.value::text COLLATE "C" DESC', "s.value::text")]
    ),
    "properties: the lesser of a tie is merged": Mutant(
        scenario="property ties",
        function=_WON_STORED.format(
            """(p.value ->> 'reference_date') COLLATE "C" > (stored -> p.key ->> 'reference_date') COLLATE "C"
            OR (p.value ->> 'reference_date' = stored -> p.key ->> 'reference_date'
                AND (p.value -> 'value')::text COLLATE "C" < (stored -> p.key -> 'value')::text COLLATE "C")"""
        ),
    ),
    "properties: 1.0 ties with 1": Mutant(
        scenario="property ties",
        sql=[
            (
                "candidate_properties",
                """coalesce(r.value::jsonb::text, '~') COLLATE "C"
         > coalesce((e.properties -> r.field -> 'value')::text, '~') COLLATE "C\"""",
                "r.value::jsonb > e.properties -> r.field -> 'value'",
            )
        ],
    ),
    # Dates
    "dates compared as they are spelled": Mutant(
        scenario="property dates",
        attributes={
            "agents.entity_properties.parse": _as_spelled,
            "agents.entity_properties.to_text": lambda date: date.text,
        },
    ),
    "dates without their offset": Mutant(
        scenario="offsets", attributes={"agents.entity_properties.parse": _without_offset}
    ),
    "dates without their fraction": Mutant(
        scenario="property dates",
        attributes={
            "agents.entity_properties.to_text": lambda date: dates.to_text(date.replace(microsecond=0))
        },
    ),
    "the oldest date wins": Mutant(
        scenario="fields apart",
        sql=[("candidate_properties", 'r.reference_date COLLATE "C" >', 'r.reference_date COLLATE "C" <')],
    ),
    "weeks end with the month": Mutant(
        scenario="a week over a month's end",
        attributes={"agents.temporal_data.period_of": _weeks_within("month")},
    ),
    "weeks end with the year": Mutant(
        scenario="a week over a year's end",
        attributes={"agents.temporal_data.period_of": _weeks_within("year")},
    ),
    "points are one row for a date": Mutant(
        scenario="a quarter",
        attributes={
            "agents.temporal_data.period_of": lambda date, size: (date, dates.period_of(date, size)[1])
        },
    ),
    # The filter dropped: what another worker wrote since the comparison is overwritten
    "properties: the last one wins": Mutant(scenario="property dates", function="SELECT patch"),
    "edges: the last one wins": Mutant(
        scenario="an edge twice",
        sql=[
            (
                "merge_staged",
                """
               AND (e.metadata_date IS NULL
                    OR (n.metadata_date, n.metadata::text COLLATE "C")
                     > (e.metadata_date, e.metadata::text COLLATE "C"))))""",
                "))",
            ),
            (
                "merge_staged",
                """
      AND (e.metadata_date IS NULL
           OR (excluded.metadata_date, excluded.metadata::text COLLATE "C")
            > (e.metadata_date, e.metadata::text COLLATE "C"))""",
                "",
            ),
        ],
    ),
    "edges: a plain one takes the metadata away": Mutant(
        scenario="an edge twice",
        sql=[
            ("candidate_edges", "r.metadata IS NOT NULL", "true"),
            ("merge_staged", "e.removed_at IS NULL AND n.metadata IS NOT NULL", "e.removed_at IS NULL"),
            ("merge_staged", "OR (n.metadata_date,", "OR n.metadata IS NULL OR (n.metadata_date,"),
            ("merge_staged", "e.removed_at IS NULL AND excluded.metadata IS NOT NULL", "true"),
            (
                "merge_staged",
                "OR (excluded.metadata_date,",
                "OR excluded.metadata IS NULL OR (excluded.metadata_date,",
            ),
        ],
    ),
    "edges: of one told twice the latest, with metadata or not": Mutant(
        scenario="an edge twice", sql=[("merge_staged", "s.metadata IS NULL, ", "")]
    ),
    "points: the last one wins": Mutant(
        scenario="corrections",
        sql=[
            (
                "merge_staged",
                """
    WHERE (excluded.reference_date, excluded.version, excluded.value::text COLLATE "C")
        > (t.reference_date, t.version, t.value::text COLLATE "C")""",
                "",
            )
        ],
    ),
    # Corrections
    "points: versions do not count against what is stored": Mutant(
        scenario="corrections",
        sql=[
            ("candidate_temporal", "(r.reference_date, r.version)", "(r.reference_date)"),
            ("candidate_temporal", "(p.reference_date, p.version)", "(p.reference_date)"),
        ],
    ),
    "points: versions do not count within a batch": Mutant(
        scenario="corrections", attributes={"storage.write.fold.temporal": _first_of_equal_dates}
    ),
    # Identity
    "edges to entities never seen are lost": Mutant(
        scenario="relations of a pair",
        sql=[
            (
                "insert_missing_entities",
                "UNION ALL SELECT right_type, right_reference, NULL, NULL, NULL FROM staging_edges",
                "",
            )
        ],
    ),
    "types of one reference are one": Mutant(
        scenario="types of one reference",
        sql=[
            ("candidate_edges", "t.type = r.right_type AND ", ""),
            ("merge_staged", "t.type = s.right_type AND ", ""),
        ],
    ),
    "relations of a pair are one": Mutant(
        scenario="relations of a pair",
        sql=[("candidate_edges", "\n    AND e.relationship_type = r.relationship_type", "")],
    ),
    # Digits
    "properties pass through a float": Mutant(
        scenario="no digit lost", attributes={"agents.entity_properties.check_json_text": _through_a_float}
    ),
    "points pass through a float": Mutant(
        scenario="no digit lost", attributes={"agents.temporal_data.check_json_text": _through_a_float}
    ),
    "metadata passes through a float": Mutant(
        scenario="no digit lost", attributes={"agents.entities_edges.check_json_text": _through_a_float}
    ),
}


FOUND_BY_SEARCH = [
    "properties: the lesser of a tie is merged",
    "points: the lesser of a tie in one batch",
    "dates compared as they are spelled",
    "properties: the last one wins",
]


@pytest.fixture
async def mutate(db: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mutant], Awaitable[None]]:
    async def apply(mutant: Mutant) -> None:
        for name, text, instead in mutant.sql:
            assert text in queries.query(name), f"{name} is written otherwise now"
            monkeypatch.setitem(queries.load(), name, queries.query(name).replace(text, instead))
        for name, value in mutant.attributes.items():
            monkeypatch.setattr(name, value)
        if mutant.function is not None:
            await db.execute(
                "CREATE OR REPLACE FUNCTION winning_properties(stored jsonb, patch jsonb) RETURNS jsonb "
                f"LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $${mutant.function}$$"
            )

    return apply


@pytest.mark.parametrize("name", MUTANTS)
async def test_scenario_shows_the_mutant(
    stores: Stores, db: Any, mutate: Callable[[Mutant], Awaitable[None]], name: str
) -> None:
    await mutate(MUTANTS[name])
    messages = SCENARIOS[MUTANTS[name].scenario]
    expected = stored_of(messages)
    for rounds in orders(messages):
        if await stored_after(stores.writer, db, rounds) != expected:
            return
    pytest.fail(f"{MUTANTS[name].scenario}: the mutant lives")


@pytest.mark.parametrize("name", FOUND_BY_SEARCH)
async def test_generated_messages_show_the_mutant(
    stores: Stores, db: Any, mutate: Callable[[Mutant], Awaitable[None]], name: str
) -> None:
    await mutate(MUTANTS[name])
    loop = asyncio.get_running_loop()
    shown = False

    @settings(
        max_examples=SEARCHED,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(deliveries=DELIVERIES)
    def search(deliveries: list[Rounds]) -> None:
        nonlocal shown
        for rounds in deliveries:
            if not shown:
                written = stored_after(stores.writer, db, rounds)
                shown = asyncio.run_coroutine_threadsafe(written, loop).result() != stored_of(
                    messages_of(rounds)
                )

    # A thread of its own, since this function is asynchronous and `search` can't be.
    await asyncio.to_thread(search)
    assert shown, f"{SEARCHED} generated sets of messages: the mutant lives"
