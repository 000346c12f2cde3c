"""docs/examples/consumer.py keeps what docs/events.md says that a consumer can keep."""

import json
import runpy
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.unit.cdc.fakes import headers_of
from tests.unit.docs.published import DOCS, examples

CODE: Final = runpy.run_path(str(DOCS / "examples" / "consumer.py"))
EXAMPLES: Final = examples()


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(CODE["TABLES"])
    yield connection
    connection.close()


def customers(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return db.execute("SELECT entity_id, reference, name, email FROM customers ORDER BY entity_id").fetchall()


class Events:
    """Gives each event a key of its own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._count = 0

    def take(self, event_type: str, entity_id: str | None, reference: str, **properties: Any) -> None:
        self._count += 1
        changes = {
            name: {"old": None, "new": None if value is None else {"value": value, "reference_date": "…"}}
            for name, value in properties.items()
        }
        data = {"reference": reference, "properties": changes}
        if not reference.startswith("entity-"):
            data["type"] = "user"
        headers = {"event_type": event_type} | ({"entity_id": entity_id} if entity_id else {})
        CODE["apply"](self._db, headers, {"event_idempotency_key": str(self._count), "data": data})


def test_each_type_of_event_is_taken_and_a_repetition_changes_nothing(db: sqlite3.Connection) -> None:
    states = []
    for _ in range(2):
        for event in EXAMPLES.values():
            CODE["apply"](db, headers_of(event), json.loads(event.value))
        states.append(customers(db))
    assert states[0] == [("2", "user_aqNSvRZ_74", "Lady Leda Schulist", None)]
    assert states[1] == states[0]


def test_an_update_may_be_the_first_event_and_a_removed_property_is_null(db: sqlite3.Connection) -> None:
    events = Events(db)
    events.take("entity_properties_updated", "7", "maria", name="Maria", age=30)
    assert customers(db) == [("7", "maria", "Maria", None)]
    events.take("entity_properties_updated", "7", "maria", name=None, email="m@x.com")
    assert customers(db) == [("7", "maria", None, "m@x.com")]
    events.take("entity_created", "7", "maria", name="M")  # of a recovery: the whole state
    assert customers(db) == [("7", "maria", "M", None)]


def test_an_end_takes_the_entity_of_its_id_and_name_alone(db: sqlite3.Connection) -> None:
    events = Events(db)
    events.take("entity_created", "7", "maria", name="Maria")
    events.take("entity_created", "7", "mary", name="Maria")  # renamed: its beginning comes before its end
    events.take("entity_created", "8", "maria", name="Another Maria")
    events.take("entity_deleted", "7", "maria")
    assert [row[:2] for row in customers(db)] == [("7", "mary"), ("8", "maria")]
    events.take("entity_deleted", None, "maria")  # of a recovery that does not know the id
    events.take("entity_deleted", "7", "entity-7")
    assert [row[:2] for row in customers(db)] == [("7", "mary")]
    events.take("entity_erased", "7", "entity-7")
    assert customers(db) == []


def export(*events: dict[str, Any], count: int) -> Iterator[str]:
    lines: list[dict[str, Any]] = [{"topic": "t", "offsets": {"0": 12, "1": 0}}, *events, {"events": count}]
    return map(json.dumps, lines)


def test_an_export_is_taken_with_its_offsets_or_not_at_all(db: sqlite3.Connection) -> None:
    event = EXAMPLES["entity_created"]
    line = {"headers": headers_of(event), "value": json.loads(event.value)}
    with pytest.raises(EOFError, match="not whole"):
        CODE["load"](db, export(line, count=2))
    assert customers(db) == db.execute("SELECT * FROM offsets").fetchall() == []
    CODE["load"](db, export(line, count=1))
    assert len(customers(db)) == 1
    assert db.execute("SELECT * FROM offsets").fetchall() == [(0, 12), (1, 0)]
