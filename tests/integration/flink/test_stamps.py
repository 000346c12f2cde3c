"""No record that the jobs write is stamped later than the broker took its event, whatever clocks say."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.settings import InfraSettings
from tests.integration.flink.conftest import Output, Pipeline, started
from tests.integration.flink.test_jobs import payment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

AHEAD_S = int(time.time()) + 1_200  # of the clocks of an event and of its producer
AHEAD = datetime.fromtimestamp(AHEAD_S, UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
def payments_alone(flink_stack: InfraSettings, sql: Path) -> Iterator[Pipeline]:
    """The payments job on topics of its own, where a payment of today makes no payment of 1997 a late one."""
    assert sql.exists()
    with started(flink_stack) as pipeline:
        yield pipeline


def _about(output: Output, pipeline: Pipeline, *references: bytes) -> list[Any]:
    return [
        record
        for topic in pipeline.topics.normalised
        for record in output.records[topic]
        if any(b'"%b"' % reference in (record.value or b"") for reference in references)
    ]


async def test_no_record_is_stamped_later_than_the_broker_took_its_event(pipeline: Pipeline) -> None:
    """So an event from before an erasure is not after it, though its own clock and its producer's are ahead."""
    meta = {"eventId": "ahead-a", "kind": "account.opened", "occurredAt": AHEAD_S * 1_000}
    account = {"accountId": "acc-ahead", "status": "ACTIVE", "currency": "BRL"}
    segments = [{"id": "s"}]
    metric = {"metric": "m", "grain": "YEARLY", "period": "2025", "revision": 1, "measures": {"n": 1}}
    bodies: list[object] = [
        {"meta": meta, "account": account, "owner": {"customerId": "u-ahead"}},
        {"Id": "ahead-c", "Timestamp": AHEAD, "Customer": {"ExternalRef": "u-ahead", "Status": "ACTIVE"}},
        {"message_id": "ahead-d", "type": "identify", "timestamp": AHEAD, "user_id": "u-ahead", "segments": segments},
        {"uid": "ahead-m", "subject": "user/u-ahead", "computed_at": AHEAD_S, **metric},
    ]  # fmt: skip
    for source, body in zip(pipeline.topics.sources[1:], bodies, strict=True):
        await pipeline.send(source, [(b"u-ahead", json.dumps(body).encode(), AHEAD_S * 1_000)])

    # A metric; the account's two properties, its edge; a status; a segment's edge and property.
    def written(output: Output) -> list[Any]:
        return _about(output, pipeline, b"u-ahead", b"acc-ahead")

    output = await pipeline.read(until=lambda o: len(written(o)) >= 7, timeout_s=120)
    assert len(written(output)) == 7
    assert max(record.timestamp for record in written(output)) < AHEAD_S * 1_000


async def test_no_sum_is_stamped_later_than_the_broker_took_its_payments(payments_alone: Pipeline) -> None:
    pipeline = payments_alone
    key, value, _ = payment("ahead-p", "u-ahead", 1, AHEAD)
    await pipeline.send(pipeline.topics.sources[0], [(key, value, AHEAD_S * 1_000)])
    output = await pipeline.read(until=lambda o: len(_about(o, pipeline, b"u-ahead")) >= 3, timeout_s=120)
    sums = _about(output, pipeline, b"u-ahead")
    assert len(sums) == 3  # of a day, a month and a year
    assert max(record.timestamp for record in sums) < AHEAD_S * 1_000
