"""What was committed, as a slot of `test_decoding` tells it: the stream is not compared with itself."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

_CHANGE: Final = re.compile(r"table public\.(\w+): (INSERT|UPDATE|DELETE): (.*)", re.DOTALL)
_COLUMN: Final = re.compile(r'"?(\w+)"?\[[^\]]+\]:(?:\'((?:[^\']|\'\')*)\'|(\S+))')
_COMMIT: Final = re.compile(r"COMMIT \d+ \(at (.*)\)")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VISIBLE: Final = {
    "entities": ("properties",),
    "edges": ("relationship_type", "metadata"),
    "temporal_properties": ("reference_date", "value", "idempotency_key"),
}
_IDENTITY: Final = {
    "entities": ("type", "reference"),
    "edges": ("left_entity_id", "right_entity_id"),
    "temporal_properties": ("entity_id", "key", "granularity", "period_start"),
}
_SUBJECT: Final = {"entities": "id", "edges": "left_entity_id", "temporal_properties": "entity_id"}

Row = dict[str, str]  # without what is null


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An event that a change has: its idempotency key, and the id of the entity that it is about.

    `name` is the key of its record. Who reads from the middle of the stream may know `later` names alone, or none:
    then it is `entity-<id>`, and nothing is told but that something changed. An entity's `own` changes bear its name.
    """

    key: str
    entity: int
    name: str
    own: bool
    later: frozenset[str] = frozenset()

    def may_be_told(self, name: str, *, with_values: bool) -> bool:
        """Whether an event under this key is right."""
        return (
            name == self.name or (name == f"entity-{self.entity}" and not with_values) or name in self.later
        )


async def watch(connection: Any, slot: str) -> None:
    """From now on all commits are kept, until the slot is dropped. No entity may be there yet."""
    await connection.execute("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slot)


async def committed(connection: Any, slot: str) -> list[Committed]:
    """All events of changes since `watch`, in the order of commits."""
    await connection.execute("SET timezone = 'UTC'")
    rows = await connection.fetch(
        "SELECT (lsn - '0/0')::bigint AS lsn, xid::text, data "
        "FROM pg_logical_slot_peek_changes($1, NULL, NULL, 'include-timestamp', 'on', 'skip-empty-xacts', 'on')",
        slot,
    )
    stream = _Stream()
    open_changes: list[Any] = []
    for row in rows:
        end = _COMMIT.fullmatch(row["data"])
        if end is not None:
            for change in open_changes:
                stream.add(change, _microseconds(end[1]))
            open_changes = []
        elif not row["data"].startswith("BEGIN"):
            open_changes.append(row)
    assert not open_changes
    return stream.events()


class _Stream:
    """The changes so far, and which names entities bear after them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._found: list[Committed] = []

    def add(self, change: Any, committed_us: int) -> None:
        match = _CHANGE.fullmatch(change["data"])
        assert match is not None, change["data"]
        table = "temporal_properties" if match[1].startswith("temporal_properties") else match[1]
        if table not in _VISIBLE:
            return
        for operation, row in _told(table, *_images(match[2], match[3])):
            text = f"{change['lsn']}|{change['xid']}|{committed_us}|{table}|{_primary_key(table, row)}|{operation}"
            self._found.append(
                Committed(
                    key=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
                    entity=int(row[_SUBJECT[table]]),
                    name=self._name(table, operation, row),
                    own=table == "entities",
                )
            )

    def _name(self, table: str, operation: str, row: Row) -> str:
        number = row[_SUBJECT[table]]
        if table == "entities":
            self._names[number] = f"{row['type']}:{row['reference']}"
            erased = "erased_as" in row
        else:
            erased = row.get("erased") == "true" or row.get("erased_entity_id") == number
        return f"entity-{number}" if erased and operation in "de" else self._names[number]

    def events(self) -> list[Committed]:
        later: defaultdict[int, set[str]] = defaultdict(set)
        found = []
        for event in reversed(self._found):
            found.append(replace(event, later=frozenset(later[event.entity])))
            later[event.entity].add(event.name)
        return found[::-1]


def _told(table: str, before: Row | None, after: Row | None) -> Iterator[tuple[str, Row]]:
    """The operations of a change's events, each with its row."""
    operation = "u" if before and after else "c" if after else "d"
    moves = bool(before and after and _differ(before, after, _IDENTITY[table]))
    # Where the key of its record changes, Debezium makes of the update a delete and an insert.
    parts = bool(moves and before and after and _differ(before, after, (_SUBJECT[table],)))
    if table == "edges":  # a removed one is none
        before = before if before and "removed_at" not in before else None
        after = after if after and "removed_at" not in after else None
    if moves and (parts or (before and after)):
        if before:
            yield "d", before
        if after:
            yield "c", after
    elif before and after:
        if _differ(before, after, _VISIBLE[table]):
            yield operation, after
    elif row := after or before:
        yield operation, row
        if table == "entities" and operation == "d" and "erased_as" in row:
            yield "e", row


def _differ(before: Row, after: Row, names: tuple[str, ...]) -> bool:
    return any(before.get(name) != after.get(name) for name in names)


def _images(operation: str, text: str) -> tuple[Row | None, Row | None]:
    """The row before and after."""
    old, _, new = text.partition(" new-tuple: ")
    match operation:
        case "INSERT":
            return None, _columns(text)
        case "DELETE":
            return _columns(text), None
        case _:
            return _columns(old), _columns(new)


def _columns(text: str) -> Row:
    return {
        match[1]: match[2] if match[2] is not None else match[3]
        for match in _COLUMN.finditer(text)
        if match[3] != "null"
    }


def _primary_key(table: str, row: Row) -> str:
    if table != "temporal_properties":
        return row["id"]
    start = datetime.fromisoformat(row["period_start"]).astimezone(UTC)
    return f"{row['entity_id']}|{row['key']}|{row['granularity']}|{start:%Y-%m-%dT%H:%M:%S.%fZ}"


def _microseconds(date: str) -> int:
    return (datetime.fromisoformat(date) - _EPOCH) // timedelta(microseconds=1)
