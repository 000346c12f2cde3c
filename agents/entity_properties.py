"""The topic entity-properties: one field of one entity, as told at a date.

`{entity_reference, entity_type, field_name, field_value, reference_date}`; `field_value` is any JSON value, `null`
among them. A date far later than the record's timestamp is refused, since it would hide all later values until then.
"""

from datetime import timedelta
from typing import Final

import msgspec

from agents.names import check_entity
from app.config.settings import Settings
from app.core.dates import latest_for, parse, to_text, too_far_ahead
from app.core.decoding import decode_record, source_of, told_at_of
from app.core.models import Batch, PropertyRow
from app.core.records import Record
from app.core.validation import MAX_FIELD_BYTES, check_json_text, check_name


class PropertyIn(msgspec.Struct, frozen=True):
    entity_reference: str
    entity_type: str
    field_name: str
    field_value: msgspec.Raw
    reference_date: str


_DECODER: Final = msgspec.json.Decoder(PropertyIn)


class EntityProperties:
    """Decodes records of this topic."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_value_bytes
        self._ahead = timedelta(seconds=settings.property_max_ahead_s)

    def add(self, record: Record, batch: Batch) -> None:
        """Add the record's row. Raises InvalidError, with the batch as it was."""
        told = decode_record(record, _DECODER)
        check_entity(told.entity_type, told.entity_reference, "entity_type", "entity_reference")
        told_at = told_at_of(record)
        date = parse(told.reference_date, field="reference_date")
        # By the record's own time and never by the clock here: a replay gives what the first run gave.
        if date > latest_for(told_at, self._ahead):
            raise too_far_ahead("reference_date", self._ahead)
        batch.properties.append(
            PropertyRow(
                told.entity_type,
                told.entity_reference,
                check_name(told.field_name, "field_name", MAX_FIELD_BYTES),
                check_json_text(bytes(told.field_value), "field_value", self._max_bytes),
                to_text(date),
                told_at,
                source_of(record),
            )
        )
