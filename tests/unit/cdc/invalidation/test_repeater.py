import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, KafkaConnectionError

from app.core.errors import FatalError
from app.core.models import EntityKey
from cdc.invalidation.repeater import CacheRepeater
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.envelopes import FakeRecord
from tests.unit.cdc.fakes import FakeClock, FakeCommitLog, FakeHooks, FakeInvalidator


class FakeConsumer:
    """Gives its batches one by one, then nothing; a batch that is an exception is raised."""

    def __init__(self, *batches: list[FakeRecord] | Exception) -> None:
        self.batches = list(batches)
        self.committed: list[Mapping[Any, int]] = []
        self.commit_error: Exception | None = None
        self.started = self.stopped = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Any, Sequence[Any]]:
        if timeout_ms == 0:  # the next one comes later
            return {}
        if not self.batches:
            await asyncio.sleep(0.01)
            return {}
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return {"partition-0": batch}

    async def commit(self, offsets: Mapping[Any, int]) -> None:
        if self.commit_error is not None:
            raise self.commit_error
        self.committed.append(offsets)


def make(
    consumer: FakeConsumer, *, refusals: int = 0, time_outs: int = 0
) -> tuple[CacheRepeater, FakeInvalidator, FakeCommitLog]:
    invalidator, log = FakeInvalidator(refusals=refusals), FakeCommitLog(time_outs=time_outs)
    repeater = CacheRepeater(
        brokers=[],
        topic="cdc",
        group_id="app",
        invalidator=invalidator,
        commit_log=log,
        lookups_of=lambda field, value: [],
        max_backoff_s=0.002,
        clock=FakeClock(),
        consumer=lambda: consumer,
    )
    return repeater, invalidator, log


async def until(condition: Any) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - fakes tell nobody
            await asyncio.sleep(0.001)


def record(offset: int, value: bytes | None, key: bytes | None = None) -> FakeRecord:
    return FakeRecord(value=value, key=key, offset=offset)


CREATED = e.create("entities", e.entity(), tx_id=11)
LINKED = e.create("edges", e.edge(left=4), tx_id=10)


async def test_a_batch_is_invalidated_at_a_position_after_its_transactions_then_committed() -> None:
    consumer = FakeConsumer([record(5, CREATED), record(6, LINKED)])
    repeater, invalidator, log = make(consumer)
    running = asyncio.create_task(repeater.run())
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running
    assert log.asked == [[10, 11]]
    (changes,) = invalidator.attempts
    assert (changes.position, changes.entities, changes.keys) == (5000, {7, 4}, {EntityKey("user", "u-7")})
    assert consumer.committed == [{"partition-0": 7}]
    assert consumer.stopped == 1


async def test_a_node_that_is_away_holds_up_offsets_and_no_other_invalidation() -> None:
    consumer = FakeConsumer([record(0, CREATED)], [record(1, LINKED)])
    repeater, invalidator, _ = make(consumer, refusals=1_000_000)
    running = asyncio.create_task(repeater.run())
    await until(lambda: len(invalidator.attempts) == 2)
    await asyncio.sleep(0.03)
    assert consumer.committed == []
    invalidator.refusals = 0
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running
    assert [changes.entities for changes in invalidator.attempts] == [{7}, {4}]
    assert consumer.committed == [{"partition-0": 2}]


async def test_what_was_not_committed_when_kafka_failed_comes_again() -> None:
    consumer = FakeConsumer([record(0, CREATED)], KafkaConnectionError(), [record(0, CREATED)])
    repeater, invalidator, _ = make(consumer, refusals=2)
    running = asyncio.create_task(repeater.run())
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running
    assert len(invalidator.attempts) == 2
    assert consumer.committed == [{"partition-0": 1}]


async def test_it_waits_until_the_transactions_are_visible() -> None:
    consumer = FakeConsumer([record(0, CREATED)])
    repeater, invalidator, log = make(consumer, time_outs=1_000_000)
    running = asyncio.create_task(repeater.run())
    await until(lambda: len(log.asked) > 5)
    assert invalidator.attempts == []
    assert consumer.committed == []
    log.time_outs = 0
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running


@pytest.mark.parametrize("obstacle", ["refusals", "time_outs"])
async def test_stop_ends_an_endless_retry_without_a_commit(obstacle: str) -> None:
    consumer = FakeConsumer([record(0, CREATED)])
    repeater, invalidator, log = make(consumer, **{obstacle: 1_000_000})
    running = asyncio.create_task(repeater.run())
    await until(lambda: invalidator.attempts or log.asked)
    async with asyncio.timeout(1):
        await repeater.stop()
        await running
    assert consumer.committed == []
    assert consumer.stopped == 1


async def test_a_cancellation_from_outside_is_passed_on() -> None:
    consumer = FakeConsumer()
    repeater, _, _ = make(consumer)
    running = asyncio.create_task(repeater.run())
    await until(lambda: consumer.started)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert consumer.stopped == 1


async def test_what_can_not_be_read_invalidates_the_entity_of_its_key() -> None:
    consumer = FakeConsumer([record(0, b"bad", b'{"entity_id":3}'), record(1, None), record(2, CREATED)])
    repeater, invalidator, _ = make(consumer)
    running = asyncio.create_task(repeater.run())
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running
    assert invalidator.attempts[0].entities == {3, 7}


async def test_kafka_away_or_the_partitions_gone_is_no_end() -> None:
    consumer = FakeConsumer(KafkaConnectionError(), [record(0, CREATED)], [record(1, CREATED)])
    consumer.commit_error = CommitFailedError()
    repeater, invalidator, _ = make(consumer)
    running = asyncio.create_task(repeater.run())
    await until(lambda: len(invalidator.attempts) == 2)
    assert consumer.started == 2
    await repeater.stop()
    await running


async def test_what_is_not_transient_ends_it_without_a_commit() -> None:
    consumer = FakeConsumer([record(0, CREATED)])
    repeater, invalidator, _ = make(consumer)

    async def fail(changes: object) -> None:
        raise FatalError("The schema is older than the code.")

    invalidator.submit = fail  # type: ignore[method-assign]
    with pytest.raises(FatalError):
        await repeater.run()
    assert consumer.committed == []


async def test_a_worker_can_be_killed_before_it_commits() -> None:
    consumer = FakeConsumer([record(0, CREATED)])
    repeater, invalidator, _ = make(consumer)
    hooks = FakeHooks(lambda: (len(invalidator.attempts), len(consumer.committed)))
    repeater._hooks = hooks
    running = asyncio.create_task(repeater.run())
    await until(lambda: consumer.committed)
    await repeater.stop()
    await running
    assert hooks.reached == [("before-repeater-commit", (1, 0))]
