"""The topic temporal-data: one point of one time series.

`{entity_reference, entity_type, property_type, property_value, property_reference_date, property_granularity,
property_version?}`. Two dates of one calendar period are one point; the newer one wins, and of equal dates the
higher version.
"""

from typing import Annotated, Final

import msgspec

from agents.names import check_entity
from app.config.settings import Settings
from app.core.dates import granularity, parse, period_of
from app.core.decoding import decode_record, source_of, told_at_of
from app.core.models import Batch, TemporalRow
from app.core.records import Record
from app.core.validation import MAX_KEY_BYTES, check_json_text, check_name

Version = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class PointIn(msgspec.Struct, frozen=True):
    entity_reference: str
    entity_type: str
    property_type: str
    property_value: msgspec.Raw
    property_reference_date: str
    property_granularity: str
    property_version: Version = 0


_DECODER: Final = msgspec.json.Decoder(PointIn)


class TemporalData:
    """Decodes records of this topic."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_value_bytes

    def add(self, record: Record, batch: Batch) -> None:
        """Add the record's row. Raises InvalidError, with the batch as it was."""
        point = decode_record(record, _DECODER)
        check_entity(point.entity_type, point.entity_reference, "entity_type", "entity_reference")
        date = parse(point.property_reference_date, field="property_reference_date")
        size = granularity(point.property_granularity, field="property_granularity")
        start, period = period_of(date, size)
        batch.temporal.append(
            TemporalRow(
                point.entity_type,
                point.entity_reference,
                check_name(point.property_type, "property_type", MAX_KEY_BYTES),
                size,
                start,
                period,
                date,
                point.property_version,
                check_json_text(bytes(point.property_value), "property_value", self._max_bytes),
                told_at_of(record),
                source_of(record),
            )
        )
