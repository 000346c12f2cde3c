"""What a flush of the largest size does gives way to the other tasks of the loop."""

from collections.abc import AsyncIterable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from app.config.settings import Settings
from app.core.models import Batch, Changes, EntityKey, Lookup
from app.core.pieces import PIECE_BYTES, PIECE_ITEMS
from storage.cache.invalidation import PendingInvalidations
from storage.cache.keyspace import CacheKey, Keyspace
from storage.write import changes, fold
from storage.write.candidates import candidates, folded
from storage.write.changes import Effects, changes_of
from storage.write.writer import _stage
from tests.rows import DAY0, edge, entity, point, prop
from tests.turns import Turns

ROWS: Final = Settings().window_max_rows
VALUE: Final = '"' + "x" * (Settings().window_max_bytes // ROWS) + '"'
BATCHES: Final[dict[str, Callable[[], Batch]]] = {
    "entities": lambda: Batch(entities=[entity(f"u{n}") for n in range(ROWS)]),
    "properties": lambda: Batch(properties=[prop(f"u{n}", "f", VALUE) for n in range(ROWS)]),
    "edges": lambda: Batch(edges=[edge(f"u{n}", "v", metadata=VALUE) for n in range(ROWS)]),
    "points": lambda: Batch(
        temporal=[
            point("u", "k", VALUE, granularity="instant", date=DAY0 + timedelta(seconds=n))
            for n in range(ROWS)
        ]
    ),
}


class Connection:
    """Notes how many rows and bytes it takes at once; everything could win."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    async def fetch(self, _: str, *parameters: Any) -> list[dict[str, int | None]]:
        arrays: list[Sequence[Any]] = [each for each in parameters if isinstance(each, list)]
        texts = sum(
            len(value) for array in arrays for value in array if isinstance(value, str) and value[0] == '"'
        )
        self.turns.note(len(arrays[0]), texts)
        return [{"ord": number, "held": None, "old": None} for number in range(1, len(arrays[0]) + 1)]

    async def copy_records_to_table(
        self, _: str, *, records: AsyncIterable[tuple[Any, ...]], columns: Sequence[str]
    ) -> None:
        async for row in records:
            assert len(row) == len(columns)
            self.turns.note(
                size=sum(len(value) for value in row if isinstance(value, str) and value[0] == '"')
            )


@pytest.mark.parametrize("kind", BATCHES)
async def test_folding_comparing_and_copying(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = BATCHES[kind]()
    async with Turns() as folding, Turns() as comparing, Turns() as copying:
        for name in ("itemgetter", "_described_edge"):
            made = getattr(fold, name)
            noting = (
                folding.noting(made)
                if name == "_described_edge"
                else lambda *at, made=made: folding.noting(made(*at))
            )
            monkeypatch.setattr(fold, name, noting)
        told = await folded(batch)
        could_win = await candidates(Connection(comparing), told)  # type: ignore[arg-type]
        await _stage(Connection(copying), could_win, None)  # type: ignore[arg-type]
    assert len(told) == len(could_win) == comparing.items == copying.items == ROWS
    assert kind == "entities" or folding.items >= ROWS
    assert folding.most_items <= 500
    assert comparing.most_items <= 1_000
    assert copying.most_items <= 250
    assert max(comparing.most_bytes, copying.most_bytes) <= PIECE_BYTES + len(VALUE)


async def test_what_a_commit_made_old(monkeypatch: pytest.MonkeyPatch) -> None:
    document = f'{{"f": {{"value": {VALUE}, "reference_date": "2025-01-15T10:30:00.000000Z"}}}}'
    effects = Effects()
    reported: Any = [
        {
            "kind": "property",
            "id": n,
            "type": "user",
            "reference": f"u{n}",
            "rows": 1,
            "old": document,
            "new": document,
        }
        for n in range(ROWS)
    ]
    effects.add(reported)
    async with Turns() as turns:
        noted = turns.noting(changes.add_lookups, lambda text, _: len(text))
        monkeypatch.setattr(changes, "add_lookups", noted)
        found = await changes_of(effects, 1)
    assert (turns.items, found.properties_changed, len(found.entities)) == (2 * ROWS, ROWS, ROWS)
    assert turns.most_items <= 2 * PIECE_ITEMS, "the last new ones and the first old ones"
    assert turns.most_bytes <= 2 * (PIECE_BYTES + len(document))


class Invalidator:
    """Takes what it is told, or nothing."""

    def __init__(self, turns: Turns, *, works: bool = True) -> None:
        self.keyspace = Keyspace("t")
        self.turns = turns
        self.works = works
        self.dropped: list[Sequence[CacheKey]] = []

    def key_of(self, stale: int | EntityKey | Lookup) -> CacheKey:
        self.turns.note()
        return self.keyspace.key(stale)

    async def drop(self, keys: Sequence[CacheKey], position: int, *, told: Any = ()) -> list[Any]:
        self.dropped.append(keys)
        return [] if self.works else [(key, True) for key in keys]


async def test_invalidation_goes_by_groups() -> None:
    async with Turns() as turns:
        invalidator = Invalidator(turns)
        await PendingInvalidations(invalidator).submit(  # type: ignore[arg-type]
            Changes(position=1, entities=frozenset(range(ROWS)))
        )
    assert (turns.items, sum(map(len, invalidator.dropped))) == (ROWS, ROWS)
    assert turns.most_items <= 1_000
    assert max(map(len, invalidator.dropped)) <= 500
    commands = sum(len({key.group for key in piece}) for piece in invalidator.dropped)
    assert commands <= 128 + len(invalidator.dropped), (
        "one for each group, but for those that two pieces share"
    )


async def test_a_node_that_is_away_is_not_waited_for_again_and_again() -> None:
    invalidator = Invalidator(Turns(), works=False)
    pending = PendingInvalidations(invalidator)  # type: ignore[arg-type]
    await pending.submit(Changes(position=1, entities=frozenset(range(ROWS))))
    assert len(invalidator.dropped) <= 4
    assert len(pending) == ROWS
    await pending.close()
