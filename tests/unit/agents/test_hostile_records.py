"""Whatever comes by topic, a decoder raises nothing but what it declares, and leaves the batch as it was."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import InvalidError
from app.core.models import Batch
from app.dead_letters.letter import read_letter
from app.erasure.mentions import names_of
from cdc.envelope import decode, entity_of_key
from tests.unit.agents.test_decoding import ALL, EDGES, ENTITY, POINT, PROPERTIES, PROPERTY, TEMPORAL
from tests.unit.app.fakes import FakeRecord
from tests.unit.hostile import payloads

SAMPLES = {EDGES: ENTITY, PROPERTIES: PROPERTY, TEMPORAL: POINT}
ROW = {"id": 1, "type": "user", "reference": "u", "properties": "{}", "erased_as": None}
ENVELOPE = {
    "op": "u",
    "before": ROW,
    "after": ROW,
    "source": {"table": "entities", "lsn": 5, "txId": 7, "ts_us": 5, "snapshot": "false"},
}

_HEADERS = ["dlq.topic", "dlq.partition", "dlq.offset", "dlq.timestamp", "dlq.error", "dlq.reason", "x"]

assert len(ALL) == len(SAMPLES)


@pytest.mark.parametrize("decoder", SAMPLES, ids=lambda decoder: type(decoder).__name__)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_decoder_refuses_or_adds(decoder: Any, data: st.DataObject) -> None:
    value = data.draw(st.none() | payloads(SAMPLES[decoder]))
    timestamp = data.draw(st.integers(-(2**63), 2**63 - 1) | st.just(1_736_937_000_123))
    batch = Batch()
    with suppress(InvalidError):
        decoder.add(FakeRecord(value=value, timestamp=timestamp), batch)
        return
    assert batch == Batch()


@pytest.mark.parametrize("decoder", SAMPLES, ids=lambda decoder: type(decoder).__name__)
def test_the_samples_are_good(decoder: Any) -> None:
    batch = Batch()
    decoder.add(FakeRecord(value=json.dumps(SAMPLES[decoder]).encode()), batch)
    assert batch != Batch()


@settings(max_examples=100, deadline=None)
@given(value=payloads(ENVELOPE))
def test_a_change_is_read_or_refused(value: bytes) -> None:
    with suppress(InvalidError):
        decode(value)


@settings(max_examples=60, deadline=None)
@given(key=st.none() | payloads({"entity_id": 7}))
def test_a_key_of_a_change_is_read_or_not(key: bytes | None) -> None:
    found = entity_of_key(key)
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize("typed", [True, False])
@settings(max_examples=60, deadline=None)
@given(
    key=st.none() | st.binary(max_size=30) | payloads({"entity_id": 7}),
    value=st.none() | payloads(ENTITY),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
def test_dead_letters_name_someone_or_nobody(
    key: bytes | None, value: bytes | None, timestamp: int, *, typed: bool
) -> None:
    names_of(key=key, value=value, timestamp_ms=timestamp, typed=typed)


@settings(max_examples=60, deadline=None)
@given(
    key=st.none() | st.binary(max_size=30),
    value=st.none() | st.binary(max_size=30),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["dlq.topic", "dlq.partition", "dlq.offset", "dlq.error", "x"]),
            st.binary(max_size=20),
        )
    ),
    timestamp=st.integers(-(2**63), 2**63 - 1),
)
def test_any_record_of_a_dead_letter_topic_can_be_listed(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], timestamp: int
) -> None:
    read_letter(FakeRecord(key=key, value=value, headers=headers, timestamp=timestamp, topic="t.dlq"))
