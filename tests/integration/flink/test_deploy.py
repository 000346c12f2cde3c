"""`make flink-deploy`: a running job goes on with other SQL from a savepoint, or goes on as it was."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.flink import deploy, jobs
from infra.settings import InfraSettings
from tests.integration.flink.conftest import REVISION, Pipeline, started
from tests.integration.flink.test_jobs import payment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

DAY = "1998-05-06T12:00:00Z"
ONE, TWO = payment("de-1", "u-deploy", 1, DAY), payment("de-2", "u-deploy", 20, DAY)


@pytest.fixture
def job(flink_stack: InfraSettings, sql: Path) -> Iterator[Pipeline]:
    with started(flink_stack) as pipeline:
        yield pipeline


async def _sums(pipeline: Pipeline, count: int) -> list[tuple[int, int]]:
    """(version, cents) of the one month, in the order of arrival."""
    topic = pipeline.topics.temporal_data
    output = await pipeline.read(until=lambda o: len(o.bodies(topic, "u-deploy")) >= 3 * count)
    return [
        (body["property_version"] - REVISION, body["property_value"]["amount_cents"])
        for body in output.bodies(topic, "u-deploy")
        if body["property_granularity"] == "month"
    ]


async def _deploy(pipeline: Pipeline, *, anew: bool = False) -> list[str]:
    return await asyncio.to_thread(deploy.deploy, pipeline.stack, topic_prefix=pipeline.prefix, anew=anew)


async def test_an_upgrade_goes_on_from_a_savepoint(job: Pipeline, sql: Path) -> None:
    """Nothing is lost or written twice: what was counted before it, what came while it went on, and what came after."""
    source, name = job.topics.sources[0], jobs.job_name(job.prefix, "payments")
    await job.send(source, [ONE])
    assert await _sums(job, 1) == [(1, 1)]
    assert await _deploy(job) == []  # the same SQL
    assert await _upgrade(job, sql) == [name]
    await job.send(source, [ONE, payment("de-3", "u-deploy", 300, DAY)])
    sums = await _sums(job, 3)
    # The second came while the upgrade began: the SQL before may have counted it.
    assert sums[1] in ((2, 21), (2, 20_001))
    assert sums == [(1, 1), sums[1], (3, sums[1][1] + 300_000)]


@pytest.mark.chaos
async def test_an_upgrade_that_does_not_fit_leaves_what_runs_unless_it_starts_anew(
    job: Pipeline, sql: Path
) -> None:
    """Refused while it is planned, or when it can't go on from the savepoint: the SQL before goes on then."""
    source, name = job.topics.sources[0], jobs.job_name(job.prefix, "payments")
    await job.send(source, [ONE])
    await _sums(job, 1)
    await _upgrade(job, sql)  # so that what is gone back to is not what was submitted first

    # What can't be planned touches nothing.
    upgraded = _change(sql, {"src_time\nFROM payments_distinct": "no_such_column\nFROM payments_distinct"})
    running = jobs.running_ids(job.stack)[name]
    with pytest.raises(InfraError, match="no_such_column"):
        await _deploy(job)
    assert jobs.running_ids(job.stack)[name] == running

    # Another shape.
    _restore(sql, upgraded)
    _change(
        sql,
        {
            "FROM payments_checked WHERE refusal IS NULL;": "FROM payments_shape;",
            "CREATE VIEW payments_timed AS": "CREATE VIEW payments_shape AS SELECT * FROM (SELECT *, COUNT(*) OVER ("
            "PARTITION BY src_partition ORDER BY arrived) AS many FROM payments_checked WHERE refusal IS NULL) "
            "WHERE many > 0;\n\nCREATE VIEW payments_timed AS",
        },
    )
    with pytest.raises(InfraError, match=r"was not upgraded(.|\n)*--anew"):
        await _deploy(job)
    await job.send(source, [TWO, payment("de-4", "u-deploy", 4000, DAY)])
    sums = await _sums(job, 3)
    # The second came while the upgrade began: the SQL before may have counted it.
    assert sums[1] in ((2, 21), (2, 20_001))
    assert sums == [(1, 1), sums[1], (3, sums[1][1] + 4_000_000)]

    # Anew it may have another shape: the sums of the new SQL come, under the same versions.
    assert await _deploy(job, anew=True) == [name]
    sums = await _sums(job, 6)
    assert sums[3:] == [(1, 1_000), (2, 21_000), (3, 4_021_000)]


async def _upgrade(pipeline: Pipeline, sql: Path) -> list[str]:
    """To another expression, so the same shape, which keeps the state; a payment comes while it lasts."""
    _change(sql, {"payment_year, amount_cents,": "payment_year, 1000 * amount_cents AS amount_cents,"})
    await pipeline.send(pipeline.topics.sources[0], [TWO])
    return await _deploy(pipeline)


def _change(sql: Path, replacements: dict[str, str]) -> str:
    """Replace what stands there once; returns the text before."""
    before = text = sql.read_text()
    for old, new in replacements.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    sql.write_text(text)
    return before


def _restore(sql: Path, text: str) -> None:
    sql.write_text(text)
