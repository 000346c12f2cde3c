"""What a transaction's statements reported, as the input of invalidation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg
import msgspec

from app.core.models import Batch, Changes, EntityKey, Lookup, RecordSource, Row
from app.core.pieces import Pieces
from storage.cache.lookups import lookups_of


class _Stored(msgspec.Struct):
    """A property as it is stored; a removed one has no value."""

    reference_date: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_PROPERTIES: Final = msgspec.json.Decoder(dict[str, _Stored])


@dataclass(slots=True)
class Effects:
    """Rows of the statement `flush_staged`: entities that were created, what changed of others, and the microseconds
    that each of its steps took. `erased` and `losing` are rows of the batch that did not come to it.
    """

    created: list[asyncpg.Record] = field(default_factory=list)
    changed: list[asyncpg.Record] = field(default_factory=list)
    steps: list[tuple[str, int]] = field(default_factory=list)
    erased: frozenset[Row] = frozenset()
    losing: frozenset[Row] = frozenset()

    def add(self, rows: Sequence[asyncpg.Record]) -> None:
        """Take in what a statement returned."""
        for row in rows:
            if row["kind"] == "step":
                self.steps.append((row["type"], row["rows"]))
            else:
                (self.created if row["kind"] == "created" else self.changed).append(row)

    def __bool__(self) -> bool:
        return bool(self.created or self.changed)

    def compare(self, batch: Batch, told: Batch, could_win: Batch) -> None:
        """Note which rows of requests the ledger took from the batch, and which the comparison left behind."""
        first = next(batch.rows, None)
        # A producer of records waits for no answer, and windows are large.
        if first is None or isinstance(first.source, RecordSource):
            return
        rows = frozenset(told.rows)
        if told is not batch:
            self.erased = frozenset(batch.rows) - rows
        self.losing = rows - frozenset(could_win.rows)


def union(changes: Sequence[Changes]) -> Changes:
    """What any of these made old; the position is not known yet."""
    return Changes(
        position=0,
        entities=frozenset().union(*(each.entities for each in changes)),
        keys=frozenset().union(*(each.keys for each in changes)),
        lookups=frozenset().union(*(each.lookups for each in changes)),
    )


async def changes_at(changes: Changes, position: int) -> Changes:
    """What is known but for the position of its commit."""
    return replace(changes, position=position)


async def changes_of(effects: Effects, position: int) -> Changes:
    """Everything that these rows, committed at this position, make old."""
    new = [row["new"] for row in (*effects.created, *effects.changed) if row["new"] is not None]
    old = [row["old"] for row in effects.changed if row["old"] is not None]
    lookups: set[Lookup] = set()
    properties_changed = 0
    async for piece in Pieces(new, size=len):
        properties_changed += sum([add_lookups(document, lookups) for document in piece])
    async for piece in Pieces(old, size=len):
        for document in piece:
            add_lookups(document, lookups)
    count = Counter[str]()
    for row in effects.changed:
        count[row["kind"]] += row["rows"]
    return Changes(
        position=position,
        entities=frozenset(row["id"] for row in (*effects.created, *effects.changed)),
        keys=frozenset(EntityKey(row["type"], row["reference"]) for row in effects.created),
        lookups=frozenset(lookups),
        entities_created=len(effects.created),
        properties_changed=properties_changed,
        edges_changed=count["edge"],
        temporal_changed=count["temporal"],
        erased=effects.erased,
        losing=effects.losing,
    )


def add_lookups(document: str, found: set[Lookup]) -> int:
    """Add the look-ups that these properties, `{field: {"value": …, "reference_date": …}}`, answer; how many they are.

    A removed one answers none.
    """
    properties = _PROPERTIES.decode(document)
    for name, stored in properties.items():
        if stored.value is not msgspec.UNSET:
            found.update(lookups_of(name, bytes(stored.value).decode()))
    return len(properties)
