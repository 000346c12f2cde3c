"""Memory is bounded whatever waits in the topics."""

import os
import re
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from tests.e2e.ingestion import fill, ingesting
from tests.e2e.workers import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(900)]

BACKLOG = int(os.environ.get("FAULTS_BACKLOG") or 200_000)
BOUND_MB = 400


async def test_memory_with_a_backlog(settings: Settings, topics: TopicNames, tmp_path: Path) -> None:
    own = ingesting(settings)
    total = await fill(own, BACKLOG * 2 // 5)  # of the three topics one gets half as many
    assert total >= BACKLOG
    with Worker(own, tmp_path / "worker.log") as worker:
        took_s = await worker.has_committed(topics.normalised, total, within_s=600)
        peak_mb = _peak_mb(worker.process.pid)
        assert await worker.terminate(within_s=20) == 0
    print(f"{total:,} records in {took_s:.0f} s, peak RSS {peak_mb:.0f} MB")  # noqa: T201
    assert peak_mb < BOUND_MB


def _peak_mb(pid: int) -> float:
    """The largest resident size that the process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
