"""A date that leaves the years 1 to 9999 in UTC is refused as the record's fault, however it leaves them."""

import json

import pytest

from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch
from tests.unit.app.fakes import FakeRecord


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:30:00-01:00",
        "0001-01-01T00:30:00+01:00",
        "0000-12-31T00:00:00Z",
        "10000-01-01T00:00:00Z",
    ],
)
@pytest.mark.parametrize("size", ["week", "instant"])
def test_a_date_beyond_them_is_the_records_fault(text: str, size: str) -> None:
    record = FakeRecord(
        value=json.dumps(
            {
                "entity_reference": "a",
                "entity_type": "user",
                "property_type": "k",
                "property_value": 1,
                "property_reference_date": text,
                "property_granularity": size,
            }
        ).encode()
    )
    batch = Batch()
    with pytest.raises(InvalidError) as caught:
        TemporalData(Settings()).add(record, batch)
    assert (caught.value.code, caught.value.field, len(batch)) == (
        "invalid-date",
        "property_reference_date",
        0,
    )
