"""What PostgreSQL and the limits of an entity refuse, in windows where it is not few: found with a few writes."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch, Changes
from app.core.records import Record
from app.core.refusals import RefusedRowsError
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.processor import IngestProcessor
from storage.stores import Stores
from tests.rows import edge, entity, point, prop
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord

pytestmark = pytest.mark.integration

MOST: Final = 50  # properties of an entity
BYTES: Final = 20_000
DIGITS: Final = "9" * 131_073  # one more than PostgreSQL takes before the point


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_properties_per_entity": MOST, "max_entity_bytes": BYTES})


class Rows:
    """A record is `[kind, reference, name, JSON text]`, unchecked, as no decoder would have let it pass."""

    def add(self, record: Record, batch: Batch) -> None:
        assert record.value is not None
        kind, reference, name, text = json.loads(record.value)
        match kind:
            case "property":
                batch.properties.append(prop(reference, name, text, record.offset))
            case "edge":
                batch.edges.append(edge(reference, name, metadata=text))
            case "point":
                batch.temporal.append(point(reference, name, text))
            case _:
                batch.entities.append(entity(reference))


def records(rows: Sequence[tuple[str, str, str, str | None]]) -> list[FakeRecord]:
    return [FakeRecord(value=json.dumps(row).encode(), offset=number) for number, row in enumerate(rows)]


@dataclass
class CountedWriter:
    """The writer, and how many rows each of its batches had."""

    stores: Stores
    batches: list[int] = field(default_factory=list)

    async def write(self, batch: Batch) -> Changes:
        self.batches.append(len(batch))
        return await self.stores.writer.write(batch)

    async def now(self) -> Any:
        return await self.stores.writer.now()


async def processed(
    stores: Stores, told: Sequence[FakeRecord]
) -> tuple[CountedWriter, list[tuple[int, str]]]:
    """The writes of this window, and the letters, by offset and code."""
    writer, sink = CountedWriter(stores), FakeDeadLetters()
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=1_000, max_run=1_000)
    await IngestProcessor(Rows(), writer, sink, policy).process(told)
    return writer, [(letter.offset, letter.error) for letter in sink.letters]


async def test_many_records_beyond_an_entitys_number_of_properties(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(properties=[prop("full", f"f{n}", "0", -1) for n in range(MOST)]))
    rows: list[tuple[str, str, str, str | None]] = []
    for n in range(5_000):
        if n % 20 == 0:
            rows.append(("property", "full", f"new{n}", "1"))
        elif n % 100 == 1:
            rows.append(("property", "full", f"f{n // 100}", f"{n}"))  # a change is none more
        else:
            rows.append(("property", f"other{n}", "f", "1"))
    writer, letters = await processed(stores, records(rows))
    assert letters == [(n, "too-many-properties") for n in range(0, 5_000, 20)]
    assert writer.batches == [5_000, 4_750]
    assert await db.fetchval("SELECT count(*) FROM entities") == 1 + 5_000 - 250 - 50
    stored = json.loads(await db.fetchval("SELECT properties::text FROM entities WHERE reference = 'full'"))
    assert {name: each["value"] for name, each in stored.items()} == {f"f{n}": 100 * n + 1 for n in range(50)}


REFUSED: Final = {
    DIGITS: "refused-22003",
    r'"\u0000"': "refused-22P05",
    "{": "refused-22P02",
    '"\ud800"': "refused-22021",
}


async def test_nearly_half_of_a_window_that_postgresql_does_not_take(stores: Stores) -> None:
    for kind in ("property", "edge", "point"):
        for text, code in REFUSED.items():
            size = 40 if len(text) > 1_000 else 1_000
            rows = [(kind, f"u{n}", f"n{n}", text if n % 20 < 9 else '{"a": 1}') for n in range(size)]
            writer, letters = await processed(stores, records(rows))
            assert letters == [(n, code) for n in range(size) if n % 20 < 9], (kind, code)
            assert writer.batches == [size, size - len(letters)], (kind, code)


async def test_each_kind_of_refusal_in_one_window(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(properties=[prop("full", f"f{n}", "0", -1) for n in range(MOST)]))
    rows: list[tuple[str, str, str, str | None]] = []
    for n in range(200):
        rows += [
            ("property", "full", f"new{n}", "1"),
            ("property", "bulky", f"f{n}", f'"{"x" * 2_000}"'),
            ("property", f"u{n}", "f", r'"\u0000"' if n % 3 == 0 else "1"),
            ("point", f"u{n}", "k", "{" if n % 3 == 1 else "1"),
            ("edge", f"u{n}", f"v{n}", None),
            ("entity", f"u{n}", "", None),
        ]
    writer, letters = await processed(stores, records(rows))
    codes = [code for _, code in letters]
    fits = await db.fetchval(
        "SELECT count(*) FROM entities, jsonb_object_keys(properties) WHERE reference = 'bulky'"
    )
    assert 5 < fits < 10
    assert codes.count("too-many-properties") == 200
    assert codes.count("entity-too-large") == 200 - fits
    assert codes.count("refused-22P05") == 67
    assert codes.count("refused-22P02") == 67
    assert len(writer.batches) == 3
    assert await db.fetchval("SELECT count(*) FROM edges") == 200


async def test_of_a_window_the_same_is_taken_as_of_its_records_one_by_one(stores: Stores) -> None:
    texts = [
        "1",
        '"' + r"\"" * 150 + '"',
        '"' + "ü" * 400 + '"',
        '{"a": [1, 2.50]}',
        '"' + "x" * 900 + '"',
        "1e99",
    ]
    for seed in range(3):
        rng = random.Random(seed)
        told = [(rng.choice("abc"), rng.choice(texts)) for _ in range(200)]
        refused = []
        for n, (reference, text) in enumerate(told):
            try:
                await stores.writer.write(Batch(properties=[prop(f"{seed}-{reference}", f"f{n}", text, n)]))
            except InvalidError as error:
                refused.append((n, error.code))
        assert 20 < len(refused) < 180
        rows = [
            ("property", f"{seed}-w-{reference}", f"f{n}", text) for n, (reference, text) in enumerate(told)
        ]
        writer, letters = await processed(stores, records(rows))
        assert letters == refused
        assert len(writer.batches) == 2


async def test_a_refused_batch_names_its_rows_and_writes_nothing(stores: Stores, db: Any) -> None:
    good, bad = Batch(edges=[edge("a", "b")]), Batch(properties=[prop("a", "f", r'"\u0000"')])
    both = Batch(edges=good.edges, properties=bad.properties)
    with pytest.raises(RefusedRowsError) as caught:
        await stores.writer.write(both)
    assert caught.value.cause_in(good) is None
    cause = caught.value.cause_in(bad)
    assert cause is not None
    assert cause.code == caught.value.code == "refused-22P05"
    assert await db.fetchval("SELECT count(*) FROM entities") == 0


async def test_what_is_older_is_not_refused_for_the_room_that_it_would_take(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop("full", f"f{n}", "0", 10) for n in range(MOST)]))
    rows = [("property", "full", "f1", f'"{"x" * BYTES}"'), ("property", "full", "one-more", "1")]
    _, letters = await processed(stores, records(rows))
    assert letters == [(1, "too-many-properties")]


async def test_a_definite_rollback_tells_caches_nothing(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Changes] = []

    async def note(changes: Changes) -> None:
        told.append(changes)

    monkeypatch.setattr(stores.writer._invalidations, "submit", note)  # type: ignore[attr-defined]
    with pytest.raises(InvalidError):
        await stores.writer.write(Batch(properties=[prop("a", f"f{n}", "1") for n in range(MOST + 1)]))
    assert told == []
    await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))
    assert len(told) == 1
    assert told[0].position > 0
