"""A bare aiokafka loop: read, decode, hand to the storage writer, commit. What agents are compared with.

Run in a process of its own by `bench-ingest`, as `python -m load.measure.bare_loop <role>`, with the settings of a
worker in the environment. It has no windows, retries, dead letters, metrics or watchdog. Ends on SIGTERM.
"""

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer

from app.config.settings import Role, Settings
from app.core import dates
from app.core.models import Batch, EdgeRow, EntityRow, PropertyRow, RecordSource, TemporalRow
from app.kafka.client import client_options
from storage.stores import Stores

_FIELD = "date"


class _Edge(msgspec.Struct):
    entity_reference: str
    entity_type: str
    relation_type: str


class _Entity(msgspec.Struct):
    reference: str
    type: str
    edges: list[_Edge]


class _Property(msgspec.Struct):
    entity_reference: str
    entity_type: str
    field_name: str
    field_value: msgspec.Raw
    reference_date: str


class _Point(msgspec.Struct):
    entity_reference: str
    entity_type: str
    property_type: str
    property_value: msgspec.Raw
    property_reference_date: str
    property_granularity: str


def entities(records: Sequence[Any]) -> Batch:
    """Records of entities-edges as a batch."""
    decode, batch = msgspec.json.Decoder(_Entity).decode, Batch()
    for record in records:
        told, at = decode(record.value), dates.from_epoch_ms(record.timestamp)
        batch.entities.append(EntityRow(told.type, told.reference, at))
        for edge in told.edges:
            batch.entities.append(EntityRow(edge.entity_type, edge.entity_reference, at))
            row = (told.type, told.reference, edge.entity_type, edge.entity_reference, edge.relation_type)
            batch.edges.append(EdgeRow(*row, None, at))
    return batch


def properties(records: Sequence[Any]) -> Batch:
    """Records of entity-properties as a batch."""
    decode, batch = msgspec.json.Decoder(_Property).decode, Batch()
    for record in records:
        told = decode(record.value)
        batch.properties.append(
            PropertyRow(
                told.entity_type,
                told.entity_reference,
                told.field_name,
                bytes(told.field_value).decode(),
                dates.to_text(dates.parse(told.reference_date, field=_FIELD)),
                dates.from_epoch_ms(record.timestamp),
                RecordSource(record.topic, record.partition, record.offset),
            )
        )
    return batch


def points(records: Sequence[Any]) -> Batch:
    """Records of temporal-data as a batch."""
    decode, batch = msgspec.json.Decoder(_Point).decode, Batch()
    for record in records:
        told = decode(record.value)
        date = dates.parse(told.property_reference_date, field=_FIELD)
        size = dates.granularity(told.property_granularity, field=_FIELD)
        batch.temporal.append(
            TemporalRow(
                told.entity_type,
                told.entity_reference,
                told.property_type,
                size,
                *dates.period_of(date, size),
                date,
                0,
                bytes(told.property_value).decode(),
                dates.from_epoch_ms(record.timestamp),
            )
        )
    return batch


DECODERS: dict[Role, Callable[[Sequence[Any]], Batch]] = {
    Role.ENTITIES_EDGES: entities,
    Role.ENTITY_PROPERTIES: properties,
    Role.TEMPORAL_DATA: points,
}


def topic_of(role: Role, settings: Settings) -> str:
    """The topic that a role reads."""
    names = settings.topics
    return dict(zip(DECODERS, names.normalised, strict=True))[role]


async def fetches(role: Role, settings: Settings) -> AsyncIterator[tuple[AIOKafkaConsumer, list[Any]]]:
    """A consumer and what it fetched, for ever; the caller commits."""
    consumer = AIOKafkaConsumer(
        topic_of(role, settings),
        **client_options(settings.kafka),
        group_id=settings.group_id,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=100, max_records=settings.window_max_records)
        if records := [record for part in fetched.values() for record in part]:
            yield consumer, records


async def consume(role: Role, settings: Settings) -> None:
    """Read for ever."""
    stores = await Stores.open(settings)
    async for consumer, records in fetches(role, settings):
        await stores.writer.write(DECODERS[role](records))
        await consumer.commit()


if __name__ == "__main__":
    uvloop.run(consume(Role(sys.argv[1]), Settings()))
