"""A consumer of the domain events: keeps the names and e-mail addresses of users in SQLite.

python docs/examples/consumer.py customers.db                  reads the topic, until it is interrupted
python docs/examples/consumer.py customers.db export.jsonl     loads an export first (docs/events.md, Starting late)

The effect, the event's key and the offset are one transaction, so that each event counts once, also after a crash.
"""

import asyncio
import json
import os
import sqlite3
import sys
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

TABLES = """
CREATE TABLE IF NOT EXISTS customers (entity_id TEXT PRIMARY KEY, reference TEXT, name TEXT, email TEXT);
CREATE TABLE IF NOT EXISTS seen (event_idempotency_key TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS offsets (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
"""


def apply(db, headers, body):
    """Take one event. A repetition changes nothing, in whichever partition it comes."""
    if not db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [body["event_idempotency_key"]]).rowcount:
        return
    event_type, entity_id, data = headers["event_type"], headers.get("entity_id"), body["data"]
    if event_type == "entity_erased":  # it bears no name
        db.execute("DELETE FROM customers WHERE entity_id = ?", [entity_id])
    elif data.get("type") != "user":
        return
    elif (
        event_type == "entity_deleted"
    ):  # Both: a renamed entity keeps its id, and a new one may have its old name.
        delete = "DELETE FROM customers WHERE reference = ? AND entity_id = coalesce(?, entity_id)"
        db.execute(delete, [data["reference"], entity_id])
    elif event_type in {"entity_created", "entity_properties_updated"}:
        # An entity begins with all that it holds, after a recovery too; an update may be the first that is seen of it.
        otherwise = "REPLACE" if event_type == "entity_created" else "IGNORE"
        db.execute(
            f"INSERT OR {otherwise} INTO customers (entity_id, reference) VALUES (?, ?)",  # noqa: S608 - two words
            [entity_id, data["reference"]],
        )
        for field in {"name", "email"} & data["properties"].keys():
            new = data["properties"][field]["new"]  # null where the property was removed
            update = f"UPDATE customers SET {field} = ? WHERE entity_id = ?"  # noqa: S608 - one of two words
            db.execute(update, [new and new["value"], entity_id])


def load(db, lines):
    """Take an export: the offsets to go on from, the events, and their number."""
    offsets, taken, expected = json.loads(next(lines))["offsets"], 0, None
    with db:
        for line in map(json.loads, lines):
            if "events" in line:
                expected = line["events"]
            else:
                apply(db, line["headers"], line["value"])
                taken += 1
        if taken != expected:
            raise EOFError(f"The export ends after {taken} events, and is not whole.")
        db.executemany("INSERT OR REPLACE INTO offsets VALUES (?, ?)", offsets.items())


async def consume(db, brokers, topic):
    """Read all partitions from where the database is, until cancelled."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    async with consumer:  # without a group: it has all partitions, and the database has the offsets
        for partition, offset in db.execute("SELECT partition, next FROM offsets"):
            consumer.seek(TopicPartition(topic, partition), offset)
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=1000)).items():
                with db:
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        apply(db, headers, json.loads(record.value))
                    at = [partition.partition, records[-1].offset + 1]
                    db.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?)", at)


if __name__ == "__main__":
    database = sqlite3.connect(sys.argv[1])
    database.executescript(TABLES)
    for path in sys.argv[2:]:
        with Path(path).open() as lines:
            load(database, lines)
    kafka = os.environ.get("PROFILE_KAFKA_BROKERS", "localhost:9092")
    asyncio.run(consume(database, kafka, "user-profile.domain-events.v1"))
