"""Payments that name an account, and payments that come too late: counted, or dead letters; never neither."""

import json

import pytest

from tests.integration.flink.conftest import ACCOUNT_WAIT_S, REVISION, Output, Pipeline, Source
from tests.integration.flink.test_jobs import AT, payment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def _of_account(event: str, account: str, cents: int, date: str = "1997-01-05T10:00:00Z") -> Source:
    key, value, at = payment(event, "", cents, date)
    body = json.loads(value or b"")
    del body["customer_id"]
    return key, json.dumps(body | {"account_id": account}).encode(), at


def _account(account: str, owner: str) -> Source:
    body = {
        "meta": {"eventId": f"told-{account}-{owner}", "kind": "account.opened", "occurredAt": AT},
        "account": {"accountId": account},
        "owner": {"customerId": owner},
    }
    return account.encode(), json.dumps(body).encode(), AT


def _months(output: Output, pipeline: Pipeline, reference: str) -> list[tuple[int, int]]:
    return [
        (body["property_version"] - REVISION, body["property_value"]["amount_cents"])
        for body in output.bodies(pipeline.topics.temporal_data, reference)
        if body["property_granularity"] == "month"
    ]


async def test_a_payment_waits_for_its_account_and_shares_the_sums_of_its_owner(pipeline: Pipeline) -> None:
    """Whichever comes first; an account that is told again counts nothing twice."""
    payments, accounts = pipeline.topics.sources[0], pipeline.topics.sources[1]
    await pipeline.send(
        payments, [_of_account("at-1", "acc-at", 10), payment("at-2", "u-at", 5, "1997-01-02T00:00:00Z")]
    )
    await pipeline.read(until=lambda o: _months(o, pipeline, "u-at") == [(1, 5)])
    await pipeline.send(accounts, [_account("acc-at", "u-at"), _account("acc-at", "u-at-2")])
    await pipeline.read(until=lambda o: _months(o, pipeline, "u-at") == [(1, 5), (2, 15)])
    again = [_of_account("at-1", "acc-at", 10), _of_account("at-3", "acc-at", 100)]
    await pipeline.send(payments, again)
    output = await pipeline.read(until=lambda o: len(_months(o, pipeline, "u-at")) >= 3)
    assert _months(output, pipeline, "u-at") == [(1, 5), (2, 15), (3, 115)]
    assert _months(output, pipeline, "u-at-2") == []


async def test_who_is_told_to_own_an_account_later_is_a_dead_letter_and_gets_none_of_its_payments(
    pipeline: Pipeline,
) -> None:
    """Also where the payment comes after it: the first of the partition is the owner, on each run."""
    payments, accounts = pipeline.topics.sources[0], pipeline.topics.sources[1]
    told = [_account("acc-ch", "u-ch-1"), _account("acc-ch", "u-ch-2"), _account("acc-ch", "u-ch-1")]
    await pipeline.send(accounts, told)
    output = await pipeline.read(until=lambda o: o.letters(accounts, b"acc-ch"))
    (letter,) = output.letters(accounts, b"acc-ch")
    headers = {name: content.decode() for name, content in letter.headers}
    assert letter.value == told[1][1]
    assert letter.timestamp > AT  # the broker's, whatever the producer said
    assert headers["dlq.error"] == "owner-changed-source"
    place = f"{accounts}/{headers['dlq.partition']}/{headers['dlq.offset']}"
    assert letter.key == f"{place}/owner".encode()
    await pipeline.send(payments, [_of_account("ch-1", "acc-ch", 10)])
    output = await pipeline.read(until=lambda o: _months(o, pipeline, "u-ch-1"))
    assert _months(output, pipeline, "u-ch-1") == [(1, 10)]
    assert _months(output, pipeline, "u-ch-2") == []
    assert len(output.letters(accounts, b"acc-ch")) == 1


async def test_a_payment_whose_account_nobody_tells_becomes_a_dead_letter(pipeline: Pipeline) -> None:
    """After one and a half times the wait at most; those that found their owner do not."""
    payments, accounts = pipeline.topics.sources[0], pipeline.topics.sources[1]
    key, value, at = _of_account("un-1", "acc-nobody", 10)
    await pipeline.send(accounts, [_account("acc-known", "u-known")])
    await pipeline.send(
        payments, [(b"un-1", value, at), (b"un-2", _of_account("un-2", "acc-known", 1)[1], at)]
    )
    output = await pipeline.read(
        until=lambda o: o.letters(payments, b"un-1"), timeout_s=1.5 * ACCOUNT_WAIT_S + 180
    )
    (letter,) = output.letters(payments, b"un-1")
    assert (letter.value, dict(letter.headers)["dlq.error"]) == (value, b"unattributed-source")
    assert key == b""
    assert not output.letters(payments, b"un-2")
    assert _months(output, pipeline, "u-known") == [(1, 1)]


async def test_what_comes_later_than_the_state_remembers_becomes_a_dead_letter(pipeline: Pipeline) -> None:
    """1,100 days behind the newest payment of its partition; its duplicates are no news."""
    source, topic = pipeline.topics.sources[0], pipeline.topics.temporal_data
    late = payment("late-1", "u-late", 7, "1995-05-31T23:59:59Z")
    edge = payment("late-2", "u-late", 8, "1995-06-01T00:00:00Z")
    newest = payment("late-3", "u-late", 9, "1998-06-05T00:00:00Z")
    same = [(b"u-late", value, at) for _, value, at in (newest, edge, late, late, newest)]
    await pipeline.send(source, same)
    output = await pipeline.read(
        until=lambda o: o.letters(source, b"u-late") and len(o.bodies(topic, "u-late")) >= 6
    )
    assert _months(output, pipeline, "u-late") == [(1, 9), (1, 8)]
    (letter,) = output.letters(source, b"u-late")
    assert (letter.value, dict(letter.headers)["dlq.error"]) == (late[1], b"late-source")
