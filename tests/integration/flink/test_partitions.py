"""Several partitions and tasks, and partitions that are quiet: sums depend on neither."""

import asyncio
import json

import pytest

from infra.settings import InfraSettings
from tests.integration.flink.conftest import REVISION, Output, Pipeline, started
from tests.integration.flink.quiet_partitions import (
    BEFORE,
    PARTITIONS,
    PAYMENTS,
    QUIET_S,
    USERS,
    Sums,
    account_of,
    expected,
    payment_of,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def _found(output: Output, pipeline: Pipeline) -> Sums:
    """The sums of the highest version; a version is the number of payments."""
    found: Sums = {}
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
        assert _found(output, pipeline) == expected()
        assert not output.records[pipeline.topics.dead_letters(pipeline.topics.sources[0])]


async def _run(pipeline: Pipeline) -> Output:
    payments, accounts = pipeline.topics.sources[0], pipeline.topics.sources[1]
    await pipeline.send(accounts, [account_of(user) for user in range(USERS // 2)], partition=1)
    for partition in (0, 1):
        await pipeline.send(
            payments,
            [payment_of(number) for number in range(BEFORE) if number % 2 == partition],
            partition=partition,
        )
    await pipeline.read(until=lambda o: _found(o, pipeline))
    await asyncio.sleep(QUIET_S)
    for turn in range(2):
        for partition in range(3):
            burst = [payment_of(n) for n in range(BEFORE * turn, PAYMENTS) if (n + turn) % 3 == partition]
            await pipeline.send(payments, burst, partition=partition)
    await pipeline.send(accounts, [account_of(user) for user in range(USERS // 2, USERS)], partition=2)
    await pipeline.read(until=lambda o: _found(o, pipeline) == expected())
    return await pipeline.settled()
