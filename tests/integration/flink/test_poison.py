"""No record stops a job, however odd its numbers and texts are: what comes after it arrives."""

import json
import random

import pytest

from tests.integration.flink.conftest import Output, Pipeline
from tests.integration.flink.test_jobs import AT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

DATE = "1997-01-01T10:00:00Z"
ODD = (
    b"1e99999999999",
    b"-1e-99999999999",
    b"1" * 1200,
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 1200 + b"]" * 1200,
)
CRM = (
    b'{"Id":"%b","Timestamp":"1997-01-01T10:00:00Z","Customer":{"ExternalRef":"%b","Status":"ACTIVE"},'
    b'"DataOrigin":%b}'
)
CDP = (
    b'{"message_id":"%b","timestamp":"1997-01-01T10:00:00Z","user_id":"%b","traits":[{"name":"odd","value":%b},'
    b'{"name":"even","value":2}]}'
)
METRIC = (
    b'{"uid":"%b","subject":"user/%b","metric":"engagement","grain":"YEARLY","period":"1997","revision":1,'
    b'"computed_at":852112800,"measures":%b}'
)


@pytest.mark.parametrize(("number", "body"), [(2, CRM), (3, CDP), (4, METRIC)])
async def test_no_value_stops_a_job(pipeline: Pipeline, number: int, body: bytes) -> None:
    source = pipeline.topics.sources[number]
    names = [b"poison-%d-%d" % (number, n) for n in range(len(ODD) + 1)]
    values = [body % (name, name, odd) for name, odd in zip(names, (*ODD, b"3"), strict=True)]
    await pipeline.send(source, [(b"poison", value, AT) for value in values])
    target = pipeline.topics.temporal_data if number == 4 else pipeline.topics.entity_properties

    def untold(output: Output) -> list[bytes]:
        letters = {letter.value for letter in output.letters(source, b"poison")}
        return [
            name
            for name, value in zip(names, values, strict=True)
            if value not in letters and not output.bodies(target, name.decode())
        ]

    output = await pipeline.read(until=lambda o: not untold(o))
    assert output.bodies(target, names[-1].decode())


TEXT = "x" * 500_000
LARGE: list[dict[str, object]] = [
    {
        "event_id": "lg",
        "customer_id": "u-lg",
        "amount_cents": 5,
        "quantity": 1,
        "occurred_at": DATE,
        "note": TEXT,
    },
    {
        "meta": {"eventId": "lg", "kind": "organization.registered", "occurredAt": AT},
        "organization": {"organizationId": "u-lg", "tradeName": TEXT},
    },
    {"Id": "lg", "Timestamp": DATE, "Customer": {"ExternalRef": "u-lg", "Name": {"First": TEXT}}},
    {"message_id": "lg", "timestamp": DATE, "user_id": "u-lg", "traits": [{"name": "long", "value": TEXT}]},
    {
        "uid": "lg",
        "subject": "organization/u-lg",
        "metric": "long",
        "grain": "YEARLY",
        "period": "1997",
        "revision": 1,
        "computed_at": 852_112_800,
        "measures": TEXT,
    },
]
FIELDS = (
    ("property_type", "payments"),
    ("field_name", "trade_name"),
    ("field_name", "full_name"),
    ("field_name", "long"),
    ("property_type", "long"),
)


@pytest.mark.parametrize("number", range(5))
async def test_a_large_record_goes_through_or_becomes_a_dead_letter(pipeline: Pipeline, number: int) -> None:
    """Of half a megabyte, malformed or good, and of two, which no Kafka producer sends by default; the job goes on."""
    source = pipeline.topics.sources[number]
    good = json.dumps(LARGE[number]).encode()
    longer = good.replace(TEXT.encode(), 4 * TEXT.encode())
    await pipeline.send(source, [(b"large", value, AT) for value in (longer[:-1], good[:-1], longer, good)])
    target = pipeline.topics.temporal_data if number in {0, 4} else pipeline.topics.entity_properties
    name, value = FIELDS[number]

    def told(output: Output) -> list[object]:
        return [body for body in output.bodies(target, "u-lg") if body[name] == value]

    output = await pipeline.read(until=lambda o: told(o) and len(o.letters(source, b"large")) >= 3)
    letters = output.letters(source, b"large")
    assert {letter.value for letter in letters} == {longer[:-1], good[:-1], longer}
    reasons = sorted(dict(letter.headers)["dlq.reason"].decode() for letter in letters)
    assert reasons[:2] == ["the value is longer than 524,288 bytes"] * 2
    assert reasons[2] == f"the value is not JSON, from character {len(good) - 1} on"
    if number:
        assert TEXT in json.dumps(told(output)[0])


async def test_a_letter_keeps_all_bytes_of_a_record_of_megabytes(pipeline: Pipeline) -> None:
    source = pipeline.topics.sources[3]
    value = random.Random(7).randbytes(6_000_000)
    await pipeline.send(source, [(b"longest", value, AT)])
    output = await pipeline.read(until=lambda o: o.letters(source, b"longest"))
    (letter,) = output.letters(source, b"longest")
    assert letter.value == value
