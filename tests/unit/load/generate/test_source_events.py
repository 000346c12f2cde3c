"""What is sent to the five source topics."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from load.generate import customers, generated, source_events, source_payloads
from load.generate.purchases import Purchase, Totals, by_day, by_month, by_year, overall
from load.generate.source_events import Events

SINCE, UNTIL = datetime(1997, 1, 1, tzinfo=UTC), datetime(1998, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def purchases() -> list[Purchase]:
    return list(generated.purchases(range(200), seed=7, since=SINCE, until=UNTIL))


@pytest.fixture(scope="module")
def events(purchases: list[Purchase]) -> Events:
    return source_events.build(purchases, origin="generated", seed=7)[0]


def _payments(events: Events) -> list[dict[str, object]]:
    return [json.loads(message.value) for message in events.payments if message.key.startswith(b"user-")]


def test_the_same_seed_gives_the_same_bytes(purchases: list[Purchase], events: Events) -> None:
    assert source_events.build(purchases, origin="generated", seed=7)[0] == events
    assert source_events.build(purchases, origin="generated", seed=8)[0] != events


def test_distinct_payments_are_the_purchases(purchases: list[Purchase], events: Events) -> None:
    distinct = {str(body["event_id"]): body for body in _payments(events)}
    assert len(distinct) == len(purchases)
    assert sum(int(str(body["amount_cents"])) for body in distinct.values()) == sum(
        purchase.amount_cents for purchase in purchases
    )


def test_one_in_a_hundred_comes_twice_and_one_late(purchases: list[Purchase], events: Events) -> None:
    readable = [message for message in events.payments if message.key.startswith(b"user-")]
    share = len(purchases) * 0.01
    assert len(readable) - len(purchases) == pytest.approx(share, abs=1)
    newest, late = 0, set()
    day_ms = 86_400_000
    for message in readable:
        if message.timestamp_ms < newest - 2 * day_ms:
            late.add(message.value)
        newest = max(newest, message.timestamp_ms)
    assert 0.5 * share < len(late) < 3 * share


def test_each_topic_gets_records_that_cannot_be_read(events: Events) -> None:
    for messages in events:
        broken = [message for message in messages if message.key.startswith(b"malformed-")]
        assert 4 <= len({message.value for message in broken}) <= len(broken)


def test_the_record_timestamp_is_the_time_of_the_event(events: Events) -> None:
    (message,) = [m for m in events.cdp if m.key == b"user-generated-7-0000000"][:1]
    body = json.loads(message.value)
    at = datetime.fromisoformat(body["timestamp"])
    assert message.timestamp_ms == int(at.timestamp() * 1000)


def test_the_first_customer_is_the_one_of_the_examples(purchases: list[Purchase]) -> None:
    first, second = customers.of_purchases(purchases, origin="generated", seed=7)[:2]
    assert (first.first_name, first.last_name, first.email) == ("João", "Silva", "joao@email.com")
    assert (first.department, first.status) == ("Finance", "active")
    assert second.email != first.email
    assert len(first.cpf) == 11
    body = json.loads(source_payloads.account(first).value)
    assert body["owner"]["taxId"]["value"].translate(str.maketrans("", "", ".-")) == first.cpf


def test_customers_lead_to_organisations_with_affiliations(purchases: list[Purchase]) -> None:
    who = customers.of_purchases(purchases, origin="generated", seed=7)
    firms = {firm.reference: firm for firm in customers.organisations(who, seed=7)}
    assert {one.organisation for one in who} == firms.keys()
    assert all(firm.affiliations for firm in firms.values())
    assert all(firms[one.organisation].registered_at < one.joined_at for one in who)


def test_chunks_go_on_with_the_numbers(purchases: list[Purchase]) -> None:
    whole = customers.of_purchases(purchases, origin="generated", seed=7)
    rest = [p for p in purchases if p.reference >= "user-generated-7-0000100"]
    assert customers.of_purchases(rest, origin="generated", seed=7, first=100) == whole[100:]


def test_crm_writes_local_time_with_an_offset(purchases: list[Purchase]) -> None:
    first = customers.of_purchases(purchases, origin="generated", seed=7)[0]
    created, updated = (json.loads(message.value) for message in source_payloads.crm(first))
    assert created["Timestamp"].endswith("-03:00")
    assert datetime.fromisoformat(updated["Timestamp"]) == first.updated_at
    assert created["Customer"]["Status"] == "PROSPECT"


def test_totals_are_exact_per_period() -> None:
    at = datetime(1997, 1, 31, 23, 59, 59, tzinfo=UTC)
    some = [
        Purchase(reference="u", index=1, occurred_at=at, quantity=2, amount_cents=1),
        Purchase(reference="u", index=2, occurred_at=at, quantity=1, amount_cents=10**15),
        Purchase(reference="u", index=3, occurred_at=at + timedelta(seconds=1), quantity=1, amount_cents=5),
    ]
    assert by_month(some) == {
        ("u", "1997-01"): Totals(10**15 + 1, 3, 2),
        ("u", "1997-02"): Totals(5, 1, 1),
    }
    assert by_day(some).keys() == {("u", "1997-01-31"), ("u", "1997-02-01")}
    assert overall(by_year(some).values()) == Totals(10**15 + 6, 4, 3)
