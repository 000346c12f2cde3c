"""A job that ended without its being asked to, as all do when the cluster stops."""

import asyncio
import time

import pytest

from infra.flink import jobs
from infra.rest import request
from tests.integration.flink.conftest import REVISION, Pipeline, Source
from tests.integration.flink.test_jobs import payment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

REFERENCE = "u-resume"
DAY = "1998-05-05T12:00:00Z"


def _told(number: int) -> Source:
    return payment(f"resume-{number}", REFERENCE, 100 + number, DAY)


async def test_a_job_goes_on_from_its_last_checkpoint(pipeline: Pipeline) -> None:
    """Sums and known event ids survive, and nothing is written twice."""
    source, target = pipeline.topics.sources[0], pipeline.topics.temporal_data
    await pipeline.send(source, [_told(1), _told(2)])
    await pipeline.read(until=lambda o: len(o.bodies(target, REFERENCE)) >= 6)
    await asyncio.to_thread(_stop, pipeline, "payments")
    # It comes while the job is away, once more what was counted, and what was not.
    await pipeline.send(source, [_told(2), _told(3)])

    name = jobs.job_name(pipeline.prefix, "payments")
    assert await asyncio.to_thread(pipeline.submit) == [name]
    await pipeline.send(source, [_told(1), _told(4)])
    output = await pipeline.read(until=lambda o: len(o.bodies(target, REFERENCE)) >= 12)
    months = [
        (body["property_version"] - REVISION, body["property_value"]["amount_cents"])
        for body in output.bodies(target, REFERENCE)
        if body["property_granularity"] == "month"
    ]
    assert months == [(1, 101), (2, 203), (3, 306), (4, 410)]


def _stop(pipeline: Pipeline, job: str) -> None:
    """Cancel a job but leave its checkpoints, of which the newest covers what its readers have seen."""
    url, name = pipeline.stack.flink_url, jobs.job_name(pipeline.prefix, job)
    _, overview = request("GET", f"{url}/jobs/overview")
    (job_id,) = [each["jid"] for each in overview["jobs"] if each["name"] == name]
    request("PATCH", f"{url}/jobs/{job_id}?mode=cancel")
    deadline = time.monotonic() + 30
    while request("GET", f"{url}/jobs/{job_id}")[1]["state"] != "CANCELED":
        assert time.monotonic() < deadline
        time.sleep(0.1)
