"""Several partitions and tasks, and partitions that are quiet: sums depend on neither."""

import asyncio
import json
from collections import defaultdict

import pytest

from infra.settings import InfraSettings
from tests.integration.flink.conftest import REVISION, Output, Pipeline, Source, started
from tests.integration.flink.test_jobs import AT, payment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

PARTITIONS = 4
USERS = 30
PAYMENTS = 900
BEFORE = 60  # of them come before the quiet spell
QUIET_S = 8.0  # longer than idle timeouts of sources are, and than some checkpoints


def _payment(number: int) -> Source:
    """Of three months in no order; each second user is named by the account."""
    user = number % USERS
    month = 1 + (number * 7) % 3
    key, value, at = payment(f"pt-{number}", f"u-pt-{user}", number + 1, f"1997-{month:02d}-15T10:00:00Z")
    if user % 2:
        body = json.loads(value or b"")
        del body["customer_id"]
        value = json.dumps(body | {"account_id": f"acc-pt-{user}"}).encode()
    return key, value, at


def _account(user: int) -> Source:
    body = {
        "meta": {"eventId": f"pt-{user}", "kind": "account.opened", "occurredAt": AT},
        "account": {"accountId": f"acc-pt-{user}"},
        "owner": {"customerId": f"u-pt-{user}"},
    }
    return b"", json.dumps(body).encode(), AT


def _expected() -> dict[tuple[str, str], tuple[int, int]]:
    """(count, cents) by user and month."""
    sums: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for number in range(PAYMENTS):
        key = f"u-pt-{number % USERS}", f"1997-{1 + (number * 7) % 3:02d}"
        sums[key] = sums[key][0] + 1, sums[key][1] + number + 1
    return dict(sums)


def _found(output: Output, pipeline: Pipeline) -> dict[tuple[str, str], tuple[int, int]]:
    """The sums of the highest version; a version is the number of payments."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for record in output.records[pipeline.topics.temporal_data]:
        body = json.loads(record.value or b"")
        if body["property_granularity"] == "month":
            key = body["entity_reference"], body["property_reference_date"][:7]
            version = body["property_version"] - REVISION
            found[key] = max(found.get(key, (0, 0)), (version, body["property_value"]["amount_cents"]))
    return found


def test_a_burst_after_a_quiet_spell_is_counted_in_full(flink_stack: InfraSettings) -> None:
    """One partition gets nothing ever, one nothing before the burst; payments come twice, in two partitions.

    With two tasks of each operator; test_scale has more.
    """
    two_tasks = flink_stack.model_copy(update={"flink_parallelism": 2})
    with started(two_tasks, account_wait_s=600, source_partitions=PARTITIONS) as pipeline:
        output = asyncio.run(_run(pipeline))
        assert _found(output, pipeline) == _expected()
        assert not output.records[pipeline.topics.dead_letters(pipeline.topics.sources[0])]


async def _run(pipeline: Pipeline) -> Output:
    payments, accounts = pipeline.topics.sources[0], pipeline.topics.sources[1]
    await pipeline.send(accounts, [_account(user) for user in range(USERS // 2)], partition=1)
    for partition in (0, 1):
        await pipeline.send(
            payments,
            [_payment(number) for number in range(BEFORE) if number % 2 == partition],
            partition=partition,
        )
    await pipeline.read(until=lambda o: _found(o, pipeline))
    await asyncio.sleep(QUIET_S)
    for turn in range(2):
        for partition in range(3):
            burst = [_payment(n) for n in range(BEFORE * turn, PAYMENTS) if (n + turn) % 3 == partition]
            await pipeline.send(payments, burst, partition=partition)
    await pipeline.send(accounts, [_account(user) for user in range(USERS // 2, USERS)], partition=2)
    await pipeline.read(until=lambda o: _found(o, pipeline) == _expected())
    return await pipeline.settled()
