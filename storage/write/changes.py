"""What a transaction's statements reported, as the input of invalidation."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import asyncpg
import msgspec

from app.core.models import Batch, Changes, EntityKey, Lookup, RecordSource, Row
from storage.cache.lookups import lookups_of

_IN_THREAD_FROM: Final = 200  # documents


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
    documents = [row["new"] for row in effects.created]
    for row in effects.changed:
        if row["kind"] == "property":
            documents.append(row["new"])
            if row["old"] is not None:
                documents.append(row["old"])
    if len(documents) < _IN_THREAD_FROM:
        lookups = lookups_in(documents)
    else:
        lookups = await asyncio.to_thread(lookups_in, documents)
    count = {
        kind: sum(r["rows"] for r in effects.changed if r["kind"] == kind) for kind in ("edge", "temporal")
    }
    return Changes(
        position=position,
        entities=frozenset(row["id"] for row in (*effects.created, *effects.changed)),
        keys=frozenset(EntityKey(row["type"], row["reference"]) for row in effects.created),
        lookups=lookups,
        entities_created=len(effects.created),
        properties_changed=sum(len(_PROPERTIES.decode(document)) for document in _new(effects)),
        edges_changed=count["edge"],
        temporal_changed=count["temporal"],
        erased=effects.erased,
        losing=effects.losing,
    )


def _new(effects: Effects) -> list[str]:
    return [row["new"] for row in effects.created] + [
        row["new"] for row in effects.changed if row["kind"] == "property"
    ]


def lookups_in(documents: Sequence[str]) -> frozenset[Lookup]:
    """The look-ups that these properties, `{field: {"value": …, "reference_date": …}}`, answer.

    A removed one answers none.
    """
    return frozenset(
        lookup
        for document in documents
        for name, stored in _PROPERTIES.decode(document).items()
        if stored.value is not msgspec.UNSET
        for lookup in lookups_of(name, bytes(stored.value).decode())
    )
