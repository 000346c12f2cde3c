"""Flink is away for longer than the broker keeps its transactions open."""

import asyncio
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import stack
from infra.flink import jobs
from infra.services.flink import FlinkService
from infra.settings import InfraSettings
from tests.integration.flink.conftest import REVISION, RUNNING, Output, Pipeline, started
from tests.integration.flink.kafka_proxy import kafka_proxy
from tests.integration.flink.test_jobs import payment

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(600)]

REFERENCE = "u-outage"
DAY = "1998-05-07T12:00:00Z"


def test_what_a_checkpoint_was_to_commit_is_written_again(
    flink_stack: InfraSettings, sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both managers die between a checkpoint and its commit; the broker aborts what it held before they are back."""
    tables = sql.parents[1] / "tables.sql"
    text = tables.read_text()
    assert text.count("'86400000'") == 2
    tables.write_text(text.replace("'86400000'", "'15000'"))
    with (
        kafka_proxy(flink_stack.kafka_port) as proxy,
        started(flink_stack, jobs_broker_port=proxy.port) as pipeline,
    ):
        _send(pipeline, 1)
        asyncio.run(pipeline.read(until=lambda o: _sums(o, pipeline) == {(1, 1)}))
        proxy.holding = True
        _send(pipeline, 2)
        assert proxy.held.wait(60)
        _kill(pipeline)
        asyncio.run(_aborted(pipeline))
        proxy.holding = False
        stack.up(pipeline.stack, ["flink"])
        assert pipeline.submit() == [jobs.job_name(pipeline.prefix, "payments")]
        _send(pipeline, 3)
        output = asyncio.run(pipeline.read(until=lambda o: (3, 111) in _sums(o, pipeline)))
        assert _sums(output, pipeline) == {(1, 1), (2, 11), (3, 111)}
    monkeypatch.undo()
    for each in RUNNING:  # the other tests' jobs, which the cluster forgot
        each.submit()


def _send(pipeline: Pipeline, number: int) -> None:
    record = payment(f"outage-{number}", REFERENCE, 10 ** (number - 1), DAY)
    asyncio.run(pipeline.send(pipeline.topics.sources[0], [record]))


def _sums(output: Output, pipeline: Pipeline) -> set[tuple[int, int]]:
    """(version, cents) of the one month."""
    return {
        (body["property_version"] - REVISION, body["property_value"]["amount_cents"])
        for body in output.bodies(pipeline.topics.temporal_data, REFERENCE)
        if body["property_granularity"] == "month"
    }


def _kill(pipeline: Pipeline) -> None:
    processes = FlinkService(pipeline.stack).processes()
    for process in processes:
        assert process.signal(signal.SIGKILL)
    for process in processes:
        while process.pid() is not None:
            asyncio.run(asyncio.sleep(0.05))


async def _aborted(pipeline: Pipeline) -> None:
    """Return when no transaction is open: readers of committed records reach the end."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=pipeline.stack.kafka_broker,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(pipeline.topics.temporal_data, number) for number in range(2)]
        consumer.assign(partitions)

        def still_open() -> bool:
            ends = [(consumer.last_stable_offset(each), consumer.highwater(each)) for each in partitions]
            return any(stable is None or stable != end for stable, end in ends)

        was_open = False
        async with asyncio.timeout(60):
            while still_open() or not was_open:
                await consumer.getmany(timeout_ms=300)
                was_open = was_open or still_open()
    finally:
        await consumer.stop()
