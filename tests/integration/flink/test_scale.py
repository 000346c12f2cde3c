"""The same database whatever runs the jobs: how many tasks and task managers, which state, from where they start."""

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.models import Batch
from infra import stack as servers
from infra.flink import deploy, jobs
from infra.rest import request
from infra.services.flink import FlinkService
from infra.settings import InfraSettings
from storage.write.candidates import folded
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

# Two minutes on a quiet machine: test_partitions has the part of it that each run of CI can afford.
pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(1800)]

_NEVER = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
def payments_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of a copy of the SQL, which may be changed."""
    shutil.copytree(jobs.SQL_DIR, tmp_path / "flink")
    monkeypatch.setattr(jobs, "SQL_DIR", tmp_path / "flink")
    return tmp_path / "flink" / "jobs" / "payments.sql"


@pytest.fixture
def two_managers(flink_stack: InfraSettings) -> Iterator[InfraSettings]:
    """A cluster with a second task manager, which ends with the test."""
    settings = flink_stack.model_copy(
        update={"flink_task_managers": 2, "flink_parallelism": 4, "flink_state_backend": "rocksdb"}
    )
    yield settings
    for process in FlinkService(settings).processes():
        if process.name == "taskmanager-2":
            process.stop(settings.stop_timeout_s)


def _months(output: Output, pipeline: Pipeline) -> list[dict[str, Any]]:
    bodies = [json.loads(record.value or b"") for record in output.records[pipeline.topics.temporal_data]]
    return [body for body in bodies if body["property_granularity"] == "month"]


def _found(output: Output, pipeline: Pipeline, revision: int = REVISION) -> Sums:
    """The sums of the highest version of this revision; a version is the number of payments."""
    found: Sums = {}
    for body in _months(output, pipeline):
        count = body["property_version"] - revision
        if count < REVISION // 2:
            key = body["entity_reference"], body["property_reference_date"][:7]
            found[key] = max(found.get(key, (0, 0)), (count, body["property_value"]["amount_cents"]))
    return found


async def _database(output: Output, pipeline: Pipeline) -> Batch:
    """What the service's writer would keep of these records, without what a start anew changes."""
    settings, batch = Settings(), Batch()
    decoders: tuple[EntitiesEdges | EntityProperties | TemporalData, ...] = (
        EntitiesEdges(settings),
        EntityProperties(settings),
        TemporalData(settings),
    )
    for topic, decoder in zip(pipeline.topics.normalised, decoders, strict=True):
        for record in output.records[topic]:
            decoder.add(record, batch)
    kept = await folded(batch)
    return replace(
        kept,
        entities=sorted(row._replace(source=None, told_at=_NEVER) for row in kept.entities),
        properties=sorted(row._replace(source=None) for row in kept.properties),
        edges=sorted((row._replace(source=None) for row in kept.edges), key=repr),
        temporal=sorted(
            row._replace(source=None, version=row.version % (REVISION // 2)) for row in kept.temporal
        ),
    )


def test_tasks_managers_and_state_change_nothing_nor_does_a_start_from_the_beginning(
    flink_stack: InfraSettings, two_managers: InfraSettings, payments_sql: Path
) -> None:
    """From two tasks with state on the heap to four in two managers with RocksDB, from a savepoint; then anew.

    One partition gets nothing ever, one nothing before the burst; payments come twice, in two partitions, and while
    the jobs are away.
    """
    two_tasks = flink_stack.model_copy(update={"flink_parallelism": 2})
    with started(two_tasks, account_wait_s=600, source_partitions=PARTITIONS) as pipeline:
        asyncio.run(_begin(pipeline))
        servers.up(two_managers, ["flink"])
        _wait_for_both(two_managers)
        scaled = two_managers.model_copy(update={"flink_account_wait_s": 600})
        # Another expression, too, which keeps the shape.
        _change(
            payments_sql, "1100 days older than the newest payment", "1,100 days before the newest payment"
        )
        asyncio.run(_upgrade(pipeline, scaled))
        assert deploy.deploy(scaled, topic_prefix=pipeline.prefix) == []
        _runs_on_both(scaled, pipeline)
        before = asyncio.run(_rest(pipeline))
        assert _found(before, pipeline) == expected()
        assert not before.records[pipeline.topics.dead_letters(pipeline.topics.sources[0])]
        # Exactly once, through the savepoint too: each version of each sum is there once.
        versions = Counter(
            (body["entity_reference"], body["property_reference_date"], body["property_version"])
            for body in _months(before, pipeline)
        )
        assert len(versions) == PAYMENTS
        assert set(versions.values()) == {1}

        _change(payments_sql, "revision => 2)", "revision => 3)")
        names = [jobs.job_name(pipeline.prefix, job) for job in jobs.JOBS]
        tables = payments_sql.parents[1] / "tables.sql"
        tables.write_text(f"-- The events job, too, is another one.\n{tables.read_text()}")
        assert deploy.deploy(scaled, topic_prefix=pipeline.prefix, anew=True) == names
        both = asyncio.run(_anew(pipeline, before))
        after = Output()
        for topic, records in both.records.items():
            earlier = {(record.partition, record.offset) for record in before.records[topic]}
            after.records[topic] = [r for r in records if (r.partition, r.offset) not in earlier]
        assert _found(after, pipeline, REVISION // 2 * 3) == expected()
        written = asyncio.run(_database(before, pipeline))
        assert len(written.temporal) > USERS
        assert len(written.properties) == USERS
        assert asyncio.run(_database(after, pipeline)) == written
        assert asyncio.run(_database(both, pipeline)) == written


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


async def _begin(pipeline: Pipeline) -> None:
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
    await _burst(pipeline, 0)


async def _burst(pipeline: Pipeline, turn: int) -> None:
    for partition in range(3):
        records = [payment_of(n) for n in range(BEFORE * turn, PAYMENTS) if (n + turn) % 3 == partition]
        await pipeline.send(pipeline.topics.sources[0], records, partition=partition)


async def _upgrade(pipeline: Pipeline, scaled: InfraSettings) -> None:
    """From a savepoint, while payments come."""
    upgrade = asyncio.create_task(asyncio.to_thread(deploy.deploy, scaled, topic_prefix=pipeline.prefix))
    await _burst(pipeline, 1)
    assert len(await upgrade) == len(jobs.JOBS)


def _wait_for_both(settings: InfraSettings) -> None:
    """A manager that is not registered yet is given no tasks."""
    deadline = time.monotonic() + 60
    while len(request("GET", f"{settings.flink_url}/taskmanagers")[1]["taskmanagers"]) < 2:
        assert time.monotonic() < deadline, "the second task manager did not register"
        time.sleep(0.2)


def _runs_on_both(settings: InfraSettings, pipeline: Pipeline) -> None:
    """Each job has tasks in both managers, and its state in RocksDB."""
    running = jobs.running_ids(settings)
    for job in jobs.JOBS:
        (job_id,) = running[jobs.job_name(pipeline.prefix, job)]
        _, config = request("GET", f"{settings.flink_url}/jobs/{job_id}/checkpoints/config")
        assert config["state_backend"] == "EmbeddedRocksDBStateBackend"
        _, overview = request("GET", f"{settings.flink_url}/jobs/{job_id}")
        used = set()
        for vertex in overview["vertices"]:
            assert vertex["parallelism"] == 4
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/taskmanagers"
            _, placed = request("GET", f"{settings.flink_url}{path}")
            used |= {each["taskmanager-id"] for each in placed["taskmanagers"]}
        assert len(used) == 2


async def _rest(pipeline: Pipeline) -> Output:
    accounts = pipeline.topics.sources[1]
    await pipeline.send(accounts, [account_of(user) for user in range(USERS // 2, USERS)], partition=2)
    await pipeline.read(until=lambda o: _found(o, pipeline) == expected())
    return await pipeline.settled()


async def _anew(pipeline: Pipeline, before: Output) -> Output:
    def again(output: Output) -> bool:
        topics = pipeline.topics.normalised
        return all(len(output.records[topic]) >= 2 * len(before.records[topic]) for topic in topics)

    return await pipeline.read(until=again)
