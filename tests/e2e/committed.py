"""What was committed, as a slot of `test_decoding` tells it: the stream is not compared with itself."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
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
_SUBJECT: Final = {"entities": "id", "edges": "left_entity_id", "temporal_properties": "entity_id"}
_OPERATION: Final = {"INSERT": "c", "UPDATE": "u", "DELETE": "d"}

Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A change that has an event: its idempotency key, and the id of the entity that it is about."""

    key: str
    entity: int


async def watch(connection: Any, slot: str) -> None:
    """From now on all commits are kept, until the slot is dropped."""
    await connection.execute("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slot)


async def committed(connection: Any, slot: str) -> list[Committed]:
    """All changes since `watch` that have an event, in the order of commits."""
    await connection.execute("SET timezone = 'UTC'")
    rows = await connection.fetch(
        "SELECT (lsn - '0/0')::bigint AS lsn, xid::text, data "
        "FROM pg_logical_slot_peek_changes($1, NULL, NULL, 'include-timestamp', 'on', 'skip-empty-xacts', 'on')",
        slot,
    )
    found: list[Committed] = []
    open_changes: list[Any] = []
    for row in rows:
        end = _COMMIT.fullmatch(row["data"])
        if end is not None:
            found += _told(open_changes, _microseconds(end[1]))
            open_changes = []
        elif not row["data"].startswith("BEGIN"):
            open_changes.append(row)
    assert not open_changes
    return found


def _told(rows: list[Any], committed_us: int) -> Iterator[Committed]:
    for row in rows:
        match = _CHANGE.fullmatch(row["data"])
        assert match is not None, row["data"]
        table = "temporal_properties" if match[1].startswith("temporal_properties") else match[1]
        if table not in _VISIBLE:
            continue
        old, new = _images(match[3])
        if match[2] == "UPDATE" and all(old.get(name) == new.get(name) for name in _VISIBLE[table]):
            continue
        primary_key = _primary_key(table, new)
        text = f"{row['lsn']}|{row['xid']}|{committed_us}|{table}|{primary_key}|{_OPERATION[match[2]]}"
        yield Committed(
            key=hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            entity=int(new[_SUBJECT[table]]),
        )


def _images(text: str) -> tuple[Row, Row]:
    """The row before and after; of an insert or a delete twice the same."""
    old, _, new = text.partition(" new-tuple: ")
    after = _columns(new or old)
    return _columns(old), after


def _columns(text: str) -> Row:
    return {match[1]: match[2] if match[2] is not None else match[3] for match in _COLUMN.finditer(text)}


def _primary_key(table: str, row: Row) -> str:
    if table != "temporal_properties":
        return row["id"]
    start = datetime.fromisoformat(row["period_start"]).astimezone(UTC)
    return f"{row['entity_id']}|{row['key']}|{row['granularity']}|{start:%Y-%m-%dT%H:%M:%S.%fZ}"


def _microseconds(date: str) -> int:
    return (datetime.fromisoformat(date) - _EPOCH) // timedelta(microseconds=1)
