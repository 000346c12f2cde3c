"""Exactly once from the source topics to the database, whatever is killed.

`FLINK_KILL_EVENTS=100000` sets the number of source events; without it there are fewer, of the same kinds. With
`pytest -s` it prints how long both runs took.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.models import Batch
from infra import stack
from infra.services.flink import FlinkService
from infra.settings import InfraSettings
from load.generate import generated, source_events
from load.generate.purchases import by_month
from storage.stores import Stores
from tests.integration.flink.conftest import QUIET_S, RUNNING, Output, Pipeline, started
from tests.stack import TestStack, application_settings, own_database

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(3000)]

EVENTS = int(os.environ.get("FLINK_KILL_EVENTS", "4000"))
EVENTS_OF_A_USER = 18.7
STEPS = 40  # of sending; a kill comes with each of the steps below
KILLS = {8: ("taskmanager",), 18: ("jobmanager",), 28: ("taskmanager", "jobmanager")}
STEP_S = 0.5
ARRIVAL_S = 400.0 + EVENTS / 100
ACCOUNT_WAIT_S = 3600  # longer than the run: what is told in time must not depend on the machine
_DUMP = (
    "SELECT type, reference, properties::text FROM entities",
    (
        "SELECT l.type, l.reference, r.type, r.reference, relationship_type, metadata::text, metadata_date, removed_at "
        "FROM edges e JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id"
    ),
    (
        "SELECT e.type, e.reference, key, granularity, period_start, reference_date, version, value::text "
        "FROM temporal_properties t JOIN entities e ON e.id = entity_id"
    ),
)


def test_kills_of_both_managers_change_nothing(
    flink_stack: InfraSettings, test_stack: TestStack, run_id: str
) -> None:
    """The database equals that of an undisturbed run, and no committed record was written twice."""
    purchases = list(
        generated.purchases(
            range(round(EVENTS / EVENTS_OF_A_USER)),
            seed=11,
            since=datetime(1995, 12, 1, tzinfo=UTC),
            until=datetime(1997, 3, 1, tzinfo=UTC),
        )
    )
    events, _ = source_events.build(purchases, origin="generated", seed=11)
    assert sum(map(len, events)) > 0.98 * EVENTS

    took_s = []
    with started(flink_stack, account_wait_s=ACCOUNT_WAIT_S) as calm:
        began = time.monotonic()
        undisturbed = asyncio.run(_calm_run(calm, events, len(purchases)))
        took_s.append(time.monotonic() - began - QUIET_S)
    counts = _counts(undisturbed, calm)
    with started(flink_stack, account_wait_s=ACCOUNT_WAIT_S) as killed:
        began = time.monotonic()
        disturbed = asyncio.run(_disturbed_run(killed, events, counts))
        took_s.append(time.monotonic() - began - QUIET_S)
    print(  # noqa: T201
        f"{sum(map(len, events)):,} source events, {undisturbed.size:,} records: {took_s[0]:.0f} s undisturbed, "
        f"{took_s[1]:.0f} s with {sum(map(len, KILLS.values()))} kills -9; load {os.getloadavg()[1]:.1f}"
    )

    assert _counts(disturbed, killed) == counts
    assert _letters(disturbed, killed) == _letters(undisturbed, calm)
    found = asyncio.run(_database(test_stack, f"calm_{run_id}", calm, undisturbed))
    print(f"{sum(map(len, found)):,} rows in each database")  # noqa: T201
    assert sum(map(len, found)) > EVENTS
    assert found == asyncio.run(_database(test_stack, f"killed_{run_id}", killed, disturbed))
    sums = [row for row in found[2] if row[2] == "payments" and row[3] == "month"]
    assert len(sums) == len(by_month(purchases))


async def _calm_run(pipeline: Pipeline, events: source_events.Events, payments: int) -> Output:
    await _send(pipeline, events, 0, STEPS)
    topic = pipeline.topics.temporal_data  # a day, a month and a year for each payment, besides metrics
    await pipeline.read(until=lambda o: len(o.records[topic]) >= 3 * payments, timeout_s=ARRIVAL_S)
    return await pipeline.settled()


async def _disturbed_run(pipeline: Pipeline, events: source_events.Events, counts: dict[str, int]) -> Output:
    """The same, with a kill in each third; events go on coming while the managers are away."""
    done, recovery = 0, None
    for step, processes in KILLS.items():
        await _send(pipeline, events, done, step)
        if recovery is not None:
            await recovery
        recovery = asyncio.create_task(_kill(pipeline, processes))
        done = step
    await _send(pipeline, events, done, STEPS)
    if recovery is not None:
        await recovery
    await pipeline.read(until=lambda o: _enough(_counts(o, pipeline), counts), timeout_s=ARRIVAL_S)
    return await pipeline.settled()


async def _send(pipeline: Pipeline, events: source_events.Events, first: int, last: int) -> None:
    """These steps of all five topics, one after the other."""
    for step in range(first, last):
        for topic, messages in zip(pipeline.topics.sources, events, strict=True):
            part = messages[len(messages) * step // STEPS : len(messages) * (step + 1) // STEPS]
            await pipeline.send(topic, [(m.key, m.value, m.timestamp_ms) for m in part])
        await asyncio.sleep(STEP_S)


async def _kill(pipeline: Pipeline, names: Sequence[str]) -> None:
    """Kill -9 at once, then what an operator does: start the cluster and submit what does not run."""
    processes = [each for each in FlinkService(pipeline.stack).processes() if each.name in names]
    for process in processes:
        assert process.signal(signal.SIGKILL)
    for process in processes:
        while process.pid() is not None:  # noqa: ASYNC110 - another process, nothing to wait on
            await asyncio.sleep(0.05)
    await asyncio.to_thread(stack.up, pipeline.stack, ["flink"])
    for each in RUNNING:
        await asyncio.to_thread(each.submit)


def _counts(output: Output, pipeline: Pipeline) -> dict[str, int]:
    return {topic.removeprefix(pipeline.prefix): len(records) for topic, records in output.records.items()}


def _enough(found: dict[str, int], wanted: dict[str, int]) -> bool:
    return all(found.get(topic, 0) >= count for topic, count in wanted.items())


def _letters(output: Output, pipeline: Pipeline) -> Counter[Any]:
    return Counter(
        (topic.removeprefix(pipeline.prefix), r.value, dict(r.headers)["dlq.reason"])
        for topic, records in output.records.items()
        if topic.endswith(".dlq")
        for r in records
    )


async def _database(test_stack: TestStack, name: str, pipeline: Pipeline, output: Output) -> list[list[Any]]:
    """What the service's writer makes of the normalised records, by business keys."""
    servers = test_stack.need("postgres", "redis", "kafka")
    async with own_database(servers, name):
        settings = application_settings(
            servers, database=name, topic_prefix=pipeline.prefix, cache_prefix=name
        )
        await _write(settings, pipeline, output)
        connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
        try:
            return [sorted((tuple(row) for row in await connection.fetch(sql)), key=repr) for sql in _DUMP]
        finally:
            await connection.close()


async def _write(settings: Settings, pipeline: Pipeline, output: Output) -> None:
    decoders: tuple[EntitiesEdges | EntityProperties | TemporalData, ...] = (
        EntitiesEdges(settings),
        EntityProperties(settings),
        TemporalData(settings),
    )
    stores = await Stores.open(settings)
    try:
        for topic, decoder in zip(pipeline.topics.normalised, decoders, strict=True):
            records = output.records[topic]
            for start in range(0, len(records), 4000):
                batch = Batch()
                for record in records[start : start + 4000]:
                    decoder.add(record, batch)
                await stores.writer.write(batch)
    finally:
        await stores.close()
