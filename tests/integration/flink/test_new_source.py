"""A sixth source, support tickets, is added to the running job and removed again, as flink/README.md says."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app.config.topics import TopicSpec
from app.kafka.admin import create_topics
from infra.flink import deploy, jobs
from infra.settings import InfraSettings
from tests.integration.flink.conftest import Output, Pipeline, Source, started
from tests.integration.flink.test_jobs import AT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

TOPIC = "support.tickets"
FILES = Path(__file__).with_name("support_tickets")


@pytest.fixture
def contracts(flink_stack: InfraSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Those of a copy of the SQL, with the events job alone."""
    assert flink_stack
    shutil.copytree(jobs.SQL_DIR, tmp_path / "flink")
    monkeypatch.setattr(jobs, "SQL_DIR", tmp_path / "flink")
    monkeypatch.setattr(jobs, "JOBS", ("events",))
    return tmp_path / "flink" / "contracts"


@pytest.fixture
def events_job(flink_stack: InfraSettings, contracts: Path) -> Iterator[Pipeline]:
    assert contracts.exists()
    with started(flink_stack) as pipeline:
        yield pipeline


def _segment(number: int) -> Source:
    body = {"message_id": f"ns-{number}", "timestamp": "1997-01-01T12:00:00Z", "user_id": "u-new-source"}
    return b"k", json.dumps(body | {"segments": [{"id": f"seg-{number}"}]}).encode(), AT


def _lines(output: Output, pipeline: Pipeline) -> list[str]:
    """What became of the tickets: topic, key and body of records; path and reason of dead letters."""
    found = []
    for name, records in output.records.items():
        for record in records:
            headers = {key: value.decode() for key, value in record.headers}
            if name.endswith(f"{TOPIC}.dlq"):
                found.append(f"dead letter\t{headers.get('dlq.path', '')}\t{headers['dlq.reason']}")
            elif b"T-" in (record.value or b"") or b"u-support" in (record.key or b""):
                topic = name.removeprefix(pipeline.prefix)
                found.append(f"{topic}\t{(record.key or b'').decode()}\t{(record.value or b'').decode()}")
    return sorted(found)


async def test_a_sixth_source_comes_and_goes(events_job: Pipeline, contracts: Path) -> None:
    """Records and dead letters are those of the case file; the other sources go on with their state."""
    pipeline, name = events_job, jobs.job_name(events_job.prefix, "events")
    topic = f"{pipeline.prefix}{TOPIC}"
    cdp, edges = pipeline.topics.sources[3], pipeline.topics.entities_edges
    await pipeline.send(cdp, [_segment(1)])
    await pipeline.read(until=lambda o: o.bodies(edges, "u-new-source"))

    # It is added: a contract, a mapping, two topics.
    shutil.copytree(FILES / TOPIC, contracts / TOPIC)
    # As `TopicNames` makes them: without stamps by append a moment would be compared with the producer's clock.
    like = {spec.name: spec.config for spec in pipeline.specs}
    specs = [
        TopicSpec(name=topic, partitions=1, config=like[cdp]),
        TopicSpec(name=f"{topic}.dlq", partitions=1, config=like[f"{cdp}.dlq"]),
    ]
    await create_topics([pipeline.stack.kafka_broker], specs)
    pipeline.others.append(f"{topic}.dlq")
    try:
        assert await _deploy(pipeline) == [name]
        events = (FILES / "events.jsonl").read_bytes().splitlines()
        await pipeline.send(topic, [(b"k", event, AT) for event in events])
        await pipeline.send(cdp, [_segment(1), _segment(2)])
        wanted = (FILES / "expected.tsv").read_text().splitlines()
        output = await pipeline.read(
            until=lambda o: (
                len(_lines(o, pipeline)) >= len(wanted) and len(o.bodies(edges, "u-new-source")) >= 2
            )
        )
        assert _lines(output, pipeline) == wanted

        # It is removed: its topics stay until the job no longer reads them.
        shutil.rmtree(contracts / TOPIC)
        assert await _deploy(pipeline) == [name]
        await pipeline.send(topic, [(b"k", events[0].replace(b"s-1", b"s-9"), AT)])
    finally:
        pipeline.others.clear()
        await _delete(pipeline.stack, [spec.name for spec in specs])
    await pipeline.send(cdp, [_segment(1), _segment(3)])
    output = await pipeline.read(until=lambda o: len(o.bodies(edges, "u-new-source")) >= 3)
    reached = [body["edges"][0]["entity_reference"] for body in output.bodies(edges, "u-new-source")]
    assert reached == ["seg-1", "seg-2", "seg-3"]  # each once: ids are remembered through both upgrades
    assert not any(b"s-9" in (record.value or b"") for record in output.records[edges])
    (job_id,) = jobs.running_ids(pipeline.stack)[name]
    assert jobs.cause(pipeline.stack, job_id) == ""


async def _deploy(pipeline: Pipeline) -> list[str]:
    return await asyncio.to_thread(deploy.deploy, pipeline.stack, topic_prefix=pipeline.prefix)


async def _delete(stack: InfraSettings, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_broker)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
