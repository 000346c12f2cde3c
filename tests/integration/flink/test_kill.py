"""The task manager is killed while payments come."""

import asyncio
import json
import signal
from collections import Counter

import pytest

from infra.services.flink import FlinkService
from tests.integration.flink.conftest import Output, Pipeline, Source
from tests.integration.flink.test_jobs import payment

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(400)]

CUSTOMERS, EACH = 50, 40


def _events(start: int, count: int) -> list[Source]:
    return [
        payment(f"kill-{n}", f"u-kill-{n % CUSTOMERS}", 1 + n, f"1998-06-{1 + n % 28:02d}T12:00:00Z")
        for n in range(start, start + count)
    ]


def _months(output: Output, pipeline: Pipeline) -> dict[str, list[tuple[int, int]]]:
    """(version, cents) of each customer's month, in the order of arrival."""
    found: dict[str, list[tuple[int, int]]] = {}
    for record in output.records[pipeline.topics.temporal_data]:
        body = json.loads(record.value or b"")
        if body["entity_reference"].startswith("u-kill-") and body["property_granularity"] == "month":
            value = (body["property_version"] - 10**12, body["property_value"]["amount_cents"])
            found.setdefault(body["entity_reference"], []).append(value)
    return found


async def test_totals_stay_exact_when_the_task_manager_is_killed(pipeline: Pipeline) -> None:
    """Every payment counts once, and no reader of committed records sees a result twice."""
    service = FlinkService(pipeline.stack)
    (task_manager,) = (each for each in service.processes() if each.name == "taskmanager")
    total, step = CUSTOMERS * EACH, 100
    for start in range(0, total, step):
        await pipeline.send(pipeline.topics.sources[0], _events(start, step))
        if start == total // 2:
            assert task_manager.signal(signal.SIGKILL)
            while task_manager.pid() is not None:  # noqa: ASYNC110 - another process, nothing to wait on
                await asyncio.sleep(0.05)
            await asyncio.to_thread(service.start)
        await asyncio.sleep(0.2)

    output = await pipeline.read(
        until=lambda o: sum(map(len, _months(o, pipeline).values())) >= total, timeout_s=180
    )
    for reference, results in _months(output, pipeline).items():
        first = int(reference.rpartition("-")[2])
        cents = sum(1 + n for n in range(first, total, CUSTOMERS))
        assert max(results) == (EACH, cents), reference
        assert Counter(version for version, _ in results) == Counter(range(1, EACH + 1)), reference
