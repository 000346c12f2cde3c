"""What the jobs make of source records, exactly: payloads, keys, timestamps, dead letters."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.models import Batch
from infra.flink import jobs
from load.generate import generated, source_events
from load.generate.purchases import Totals, by_day, by_month, by_year
from tests.integration.flink.conftest import REVISION, Output, Pipeline, Source

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

AT = 852_112_800_123  # 1997-01-01T10:00:00.123Z


def _json(key: str, body: object, at: int = AT) -> Source:
    return key.encode(), json.dumps(body).encode(), at


def payment(event: str, customer: str, cents: int, date: str) -> Source:
    body = {
        "event_id": event,
        "customer_id": customer,
        "amount_cents": cents,
        "quantity": 1,
        "occurred_at": date,
    }
    return _json(customer, body)


def _properties(output: Output, pipeline: Pipeline, reference: str) -> dict[str, Any]:
    bodies = output.bodies(pipeline.topics.entity_properties, reference)
    return {body["field_name"]: body["field_value"] for body in bodies}


async def test_an_account_becomes_edges_and_properties(pipeline: Pipeline) -> None:
    meta = {"eventId": "a-1", "kind": "account.opened", "occurredAt": AT, "origin": "generated"}
    body = {
        "meta": meta,
        "account": {"accountId": "acc-1", "status": "ACTIVE", "currency": "BRL"},
        "owner": {"customerId": "u-account", "taxId": {"kind": "CPF", "value": "123.456.789-09"}},
        "memberships": [{"organizationId": "org-1", "role": "OWNER"}, {"organizationId": "org-2"}],
    }
    await pipeline.send(pipeline.topics.sources[1], [_json("u-account", body)] * 3)
    output = await pipeline.read(
        until=lambda o: (
            len(o.bodies(pipeline.topics.entities_edges, "u-account")) >= 3
            and len(o.bodies(pipeline.topics.entity_properties, "acc-1")) >= 3
        )
    )
    edges = output.bodies(pipeline.topics.entities_edges, "u-account")
    assert sorted(edges, key=lambda edge: str(edge["id"])) == [
        {
            "id": f"a-1:{relation}:{target}",
            "reference": "u-account",
            "type": "user",
            "edges": [
                {"entity_reference": target, "entity_type": kind, "relation_type": relation, **metadata}
            ],
        }
        for relation, target, kind, metadata in (
            ("member_of", "org-1", "organization", {"metadata": {"role": "owner"}}),
            ("member_of", "org-2", "organization", {}),
            ("owns", "acc-1", "account", {}),
        )
    ]
    (document,) = output.bodies(pipeline.topics.entity_properties, "u-account")
    assert document == {
        "entity_reference": "u-account",
        "entity_type": "user",
        "field_name": "document",
        "field_value": {"type": "cpf", "number": "12345678909"},
        "reference_date": "1997-01-01T10:00:00.123Z",
    }
    account = {"status": "active", "currency": "BRL", "data_origin": "generated"}
    assert _properties(output, pipeline, "acc-1") == account
    records = output.records[pipeline.topics.entities_edges]
    assert {(r.key, r.timestamp) for r in records if b"u-account" in r.value} == {(b"user:u-account", AT)}


async def test_an_organisation_has_affiliations(pipeline: Pipeline) -> None:
    body = {
        "meta": {"eventId": "o-1", "kind": "organization.registered", "occurredAt": AT},
        "organization": {
            "organizationId": "org-9",
            "tradeName": 'Café "São" João',
            "taxId": {"kind": "CNPJ", "value": "26.100.453/0001-83"},
            "affiliations": [
                {"affiliationId": "aff-9", "status": "ACTIVE", "paymentMethods": ["PIX", "VISA"]}
            ],
        },
    }
    await pipeline.send(pipeline.topics.sources[1], [_json("org-9", body)])
    output = await pipeline.read(
        until=lambda o: (
            o.bodies(pipeline.topics.entities_edges, "org-9")
            and len(o.bodies(pipeline.topics.entity_properties, "aff-9")) >= 2
            and len(o.bodies(pipeline.topics.entity_properties, "org-9")) >= 2
        )
    )
    document = {"type": "cnpj", "number": "26100453000183"}
    assert _properties(output, pipeline, "org-9") == {"trade_name": 'Café "São" João', "document": document}
    assert _properties(output, pipeline, "aff-9") == {"status": "active", "payment_methods": ["pix", "visa"]}
    (edge,) = output.bodies(pipeline.topics.entities_edges, "org-9")[0]["edges"]
    assert edge == {"entity_reference": "aff-9", "entity_type": "affiliation", "relation_type": "has"}


async def test_crm_values_keep_their_json_type_and_local_time_becomes_utc(pipeline: Pipeline) -> None:
    body = {
        "Id": "c-1",
        "Timestamp": "1996-12-31T23:30:00.5-03:00",
        "Customer": {
            "ExternalRef": "u-crm",
            "Name": {"First": "João", "Last": "Silva"},
            "EmailAddress": " Joao@Email.com ",
            "Phone": "+55 (11) 91234-5678",
            "Employment": {"Department": "Finance"},
            "Status": "ACTIVE",
            "CreditScore": 742.50,
        },
        "Consent": {"Marketing": False},
        "Manager": {"EmployeeId": "e-1", "Name": "Ana Lima"},
        "DataOrigin": {"attributes": "generated"},
    }
    await pipeline.send(pipeline.topics.sources[2], [_json("u-crm", body)])
    output = await pipeline.read(
        until=lambda o: (
            len(o.bodies(pipeline.topics.entity_properties, "u-crm")) >= 8
            and o.bodies(pipeline.topics.entities_edges, "u-crm")
        )
    )
    assert _properties(output, pipeline, "u-crm") == {
        "full_name": "João Silva",
        "email": "joao@email.com",
        "phone": "+5511912345678",
        "department": "Finance",
        "status": "active",
        "credit_score": 742.5,
        "marketing_consent": False,
        "data_origin": {"attributes": "generated"},
    }
    dates = {b["reference_date"] for b in output.bodies(pipeline.topics.entity_properties, "u-crm")}
    assert dates == {"1997-01-01T02:30:00.500000Z"}
    at = {r.timestamp for r in output.records[pipeline.topics.entity_properties] if r.key == b"user:u-crm"}
    assert at == {int(datetime(1997, 1, 1, 2, 30, 0, 500_000, tzinfo=UTC).timestamp() * 1000)}
    assert output.bodies(pipeline.topics.entities_edges, "u-crm")[0]["edges"][0]["entity_reference"] == "e-1"


async def test_cdp_traits_are_any_json_and_numbers_keep_their_digits(pipeline: Pipeline) -> None:
    value = (
        b'{"message_id":"d-1","timestamp":"1997-01-01T10:00:00.123456Z","user_id":"u-cdp","traits":['
        b'{"name":"exact","value":12345678901234567890.1230},{"name":"flag","value":true},'
        b'{"name":"text","value":"a \\"b\\" \\u00e9"},{"name":"none","value":null},{"name":"untold"},'
        b'{"name":"list","value":[1.10,{"x":[]}]},{"name":"object","value":{"n":1.0}}],'
        b'"devices":[{"id":"dev-1","platform":"IOS","last_seen":852112800}],'
        b'"segments":[{"id":"seg-1","affinity":0.50},{"id":"seg-2"}]}'
    )
    await pipeline.send(pipeline.topics.sources[3], [(b"u-cdp", value, AT)])
    output = await pipeline.read(
        until=lambda o: (
            len(o.bodies(pipeline.topics.entity_properties, "u-cdp")) >= 6
            and len(o.bodies(pipeline.topics.entities_edges, "u-cdp")) >= 3
            and len(o.bodies(pipeline.topics.entity_properties, "dev-1")) >= 2
        )
    )
    raw = [r.value for r in output.records[pipeline.topics.entity_properties] if r.key == b"user:u-cdp"]
    for text in (b'"field_value":12345678901234567890.1230', b'"field_value":[1.10,{"x":[]}]', b'{"n":1.0}'):
        assert any(text in record for record in raw), text
    found = _properties(output, pipeline, "u-cdp")
    assert found.keys() == {"exact", "flag", "text", "list", "object", "segments"}
    assert (found["flag"], found["text"]) == (True, 'a "b" é')
    assert found["segments"] == ["seg-1", "seg-2"]
    dates = {b["reference_date"] for b in output.bodies(pipeline.topics.entity_properties, "u-cdp")}
    assert dates == {"1997-01-01T10:00:00.123456Z"}
    assert _properties(output, pipeline, "dev-1") == {
        "platform": "ios",
        "last_seen_at": "1997-01-01T10:00:00Z",
    }
    edges = [r.value for r in output.records[pipeline.topics.entities_edges] if r.key == b"user:u-cdp"]
    assert any(b'"metadata":{"affinity":0.50}' in edge for edge in edges)


@pytest.mark.parametrize(
    ("grain", "period", "granularity", "last"),
    [
        ("DAILY", "1996-02-29", "day", "1996-02-29"),
        ("WEEKLY", "1998-W53", "week", "1999-01-03"),
        ("WEEKLY", "1997-W01", "week", "1997-01-05"),
        ("MONTHLY", "1997-02", "month", "1997-02-28"),
        ("QUARTERLY", "1997-Q4", "quarter", "1997-12-31"),
        ("YEARLY", "1997", "year", "1997-12-31"),
    ],
)
async def test_a_metric_gets_the_last_instant_of_its_period(
    pipeline: Pipeline, grain: str, period: str, granularity: str, last: str
) -> None:
    reference = f"{grain}-{period}"
    value = (
        f'{{"uid":"{reference}","subject":"user/{reference}","metric":"engagement","grain":"{grain}",'
        f'"period":"{period}","revision":3,"computed_at":852112800,"measures":{{"total":10.10}}}}'
    ).encode()
    topic = pipeline.topics.temporal_data
    await pipeline.send(pipeline.topics.sources[4], [(b"k", value, AT)])
    output = await pipeline.read(until=lambda o: o.bodies(topic, reference))
    (record,) = [r for r in output.records[topic] if r.key == f"user:{reference}".encode()]
    assert b'"property_value":{"total":10.10}' in record.value
    assert record.timestamp == 852_112_800_000
    (body,) = output.bodies(topic, reference)
    del body["property_value"]
    assert body == {
        "entity_reference": reference,
        "entity_type": "user",
        "property_type": "engagement",
        "property_reference_date": f"{last}T23:59:59.999999Z",
        "property_granularity": granularity,
        "property_version": 3,
    }


async def test_a_late_payment_corrects_its_period_and_a_repeated_one_counts_once(pipeline: Pipeline) -> None:
    records = [
        payment("p-1", "u-pay", 100, "1997-01-31T23:59:59Z"),
        payment("p-2", "u-pay", 250, "1997-02-01T00:00:00Z"),
        payment("p-1", "u-pay", 100, "1997-01-31T23:59:59Z"),
        payment("p-3", "u-pay", -50, "1997-01-01T00:00:00.250Z"),
    ]
    await pipeline.send(pipeline.topics.sources[0], records)
    output = await pipeline.read(until=lambda o: len(o.bodies(pipeline.topics.temporal_data, "u-pay")) >= 9)
    months = [
        (body["property_reference_date"], body["property_version"], body["property_value"])
        for body in output.bodies(pipeline.topics.temporal_data, "u-pay")
        if body["property_granularity"] == "month"
    ]
    january, february = "1997-01-31T23:59:59.999999Z", "1997-02-28T23:59:59.999999Z"
    assert months == [
        (january, REVISION + 1, {"amount_cents": 100, "quantity": 1, "transaction_count": 1}),
        (february, REVISION + 1, {"amount_cents": 250, "quantity": 1, "transaction_count": 1}),
        (january, REVISION + 2, {"amount_cents": 50, "quantity": 2, "transaction_count": 2}),
    ]
    kinds = Counter(b["property_granularity"] for b in output.bodies(pipeline.topics.temporal_data, "u-pay"))
    assert kinds == {"day": 3, "month": 3, "year": 3}
    timestamps = [
        r.timestamp for r in output.records[pipeline.topics.temporal_data] if r.key == b"user:u-pay"
    ]
    assert max(timestamps) == int(datetime(1997, 2, 1, tzinfo=UTC).timestamp() * 1000)


async def test_what_cannot_be_read_keeps_its_bytes_and_stops_nothing(pipeline: Pipeline) -> None:
    future = datetime.fromtimestamp(time.time() + 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    good = {
        "event_id": "e",
        "customer_id": "u",
        "amount_cents": 1,
        "quantity": 1,
        "occurred_at": "1997-01-01T00:00:00Z",
    }
    cases: list[tuple[bytes | None, str]] = [
        (b"\xff\xfe\x00", "the value is not UTF-8, from byte 0 on"),
        (b'{"broken": ', "the value is not JSON, from character 11 on"),
        (b"[]", "the value is not a JSON object"),
        (None, "the record has no value (a tombstone)"),
        (
            json.dumps(good | {"event_id": ""}).encode(),
            "event_id: expected a text or an integer that tells this event from all others",
        ),
        (json.dumps(good | {"customer_id": None}).encode(), "expected customer_id or account_id"),
        (
            json.dumps(good | {"amount_cents": 12.5}).encode(),
            "amount_cents: expected an integer of up to 15 digits",
        ),
        (json.dumps(good | {"quantity": "x"}).encode(), "quantity: expected an integer of up to 9 digits"),
        *(
            (
                json.dumps(good | {"occurred_at": date}).encode(),
                "occurred_at: expected RFC 3339 such as 2025-01-15T10:30:00Z",
            )
            for date in (
                "1997-02-30T00:00:00Z",
                "1997-01-01T00:00:00",
                "1997-01-01T00:00:00.Z",
                "1997-01-01T00:00:00.0123456789Z",
                "1997-01-01T00:00:00+24:00",
                "1997-01-01T00:00:00+00:60",
                "1997-01-01T00:00:00-03:99",
                "1997-01-01",
            )
        ),
        (
            json.dumps(good | {"occurred_at": 5}).encode(),
            "occurred_at: expected RFC 3339 such as 2025-01-15T10:30:00Z, got a number",
        ),
        *(
            (json.dumps(good | {"occurred_at": date}).encode(), "occurred_at: before 1970")
            for date in ("1969-12-31T23:59:59Z", "1970-01-01T00:59:59.999999999+01:00")
        ),
        (
            json.dumps(good | {"occurred_at": future}).encode(),
            "occurred_at: in the future: over 30 minutes after the record arrived",
        ),
    ]
    source = pipeline.topics.sources[0]
    await pipeline.send(source, [(b"bad-%d" % n, value, AT + n) for n, (value, _) in enumerate(cases)])
    await pipeline.send(source, [payment("after", "u-after", 5, "1997-01-01T00:00:00Z")])
    output = await pipeline.read(
        until=lambda o: (
            all(o.letters(source, b"bad-%d" % n) for n in range(len(cases)))
            and o.bodies(pipeline.topics.temporal_data, "u-after")
        )
    )
    for number, (value, reason) in enumerate(cases):
        (letter,) = output.letters(source, b"bad-%d" % number)
        headers = {name: content.decode() for name, content in letter.headers}
        assert letter.value == (value or b"")
        assert headers["dlq.reason"] == reason
        assert headers["dlq.error"] == "malformed-source"
        # The broker's, whatever the producer said.
        assert AT + number < int(headers["dlq.timestamp"]) <= letter.timestamp
        assert ("dlq.tombstone" in headers) == (value is None)
        assert letter.key == f"{source}/{headers['dlq.partition']}/{headers['dlq.offset']}".encode()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_the_other_jobs_pass_over_it_too(pipeline: Pipeline, number: int) -> None:
    source = pipeline.topics.sources[number]
    cases = [
        b"\xff",
        b"nonsense",
        b"{}",
        b'"text"',
        b'{"meta":{"eventId":"x","kind":"account.opened","occurredAt":"x"}}',
    ]
    await pipeline.send(source, [(b"bad-%d" % n, value, AT) for n, value in enumerate(cases)])
    output = await pipeline.read(
        until=lambda o: all(o.letters(source, b"bad-%d" % n) for n in range(len(cases)))
    )
    assert [output.letters(source, b"bad-%d" % n)[0].value for n in range(len(cases))] == cases


async def test_generated_events_give_exact_sums_that_the_agents_accept(pipeline: Pipeline) -> None:
    purchases = list(
        generated.purchases(
            range(40), seed=3, since=datetime(1995, 12, 1, tzinfo=UTC), until=datetime(1997, 3, 1, tzinfo=UTC)
        )
    )
    events, _ = source_events.build(purchases, origin="generated", seed=3)
    for topic, messages in zip(pipeline.topics.sources, events, strict=True):
        await pipeline.send(topic, [(m.key, m.value, m.timestamp_ms) for m in messages])
    expected = {
        (size, reference, period): totals
        for size, sums in (("day", by_day), ("month", by_month), ("year", by_year))
        for (reference, period), totals in sums(purchases).items()
    }

    def found(output: Output) -> dict[tuple[str, str, str], Totals]:
        best: dict[tuple[str, str, str], tuple[int, Totals]] = {}
        for record in output.records[pipeline.topics.temporal_data]:
            body = json.loads(record.value or b"")
            if body["property_type"] == "payments" and body["entity_reference"].startswith("user-generated-"):
                size = body["property_granularity"]
                length = {"day": 10, "month": 7, "year": 4}[size]
                key = (size, body["entity_reference"], body["property_reference_date"][:length])
                value = (body["property_version"], Totals(**body["property_value"]))
                best[key] = max(best.get(key, value), value, key=lambda pair: pair[0])
        return {key: totals for key, (_, totals) in best.items()}

    output = await pipeline.read(until=lambda o: found(o) == expected)
    batch, settings = Batch(), Settings()
    decoders: tuple[EntitiesEdges | EntityProperties | TemporalData, ...] = (
        EntitiesEdges(settings),
        EntityProperties(settings),
        TemporalData(settings),
    )
    for topic, decoder in zip(pipeline.topics.normalised, decoders, strict=True):
        assert output.records[topic]
        for record in output.records[topic]:
            decoder.add(record, batch)
    assert len(batch) >= sum(len(output.records[topic]) for topic in pipeline.topics.normalised)


def test_what_runs_is_not_submitted_again(pipeline: Pipeline) -> None:
    assert pipeline.submit() == []
    assert jobs.submit(pipeline.stack, topic_prefix=pipeline.prefix) == []
