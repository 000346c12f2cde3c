"""A record's trace through the flush on real servers: every step is a span of it, in order."""

import pytest

from agents.entities_edges import EntitiesEdges
from app.config.settings import Settings
from app.core.clock import SystemClock
from app.core.retry import RetryPolicy
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.consumer_loop import ConsumerLoop
from app.ingest.processor import IngestProcessor
from app.ingest.window import WindowLimits
from app.worker.faust_app import terminate
from storage.stores import Stores
from tests.tracing import TRACE_ID, TRACEPARENT, below, kept_spans, trace_of
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord

pytestmark = pytest.mark.integration

VALUE = (
    b'{"reference": "a", "type": "user", '
    b'"edges": [{"entity_reference": "b", "entity_type": "user", "relation_type": "knows"}]}'
)


class Fetch:
    def __init__(self, *records: FakeRecord) -> None:
        self.value = records
        self.acked = 0

    def ack(self) -> None:
        self.acked += 1


async def test_a_record_is_followed_to_the_invalidation(settings: Settings, stores: Stores) -> None:
    letters = FakeDeadLetters()
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=1000, max_run=1000)
    loop = ConsumerLoop(
        "entities-edges",
        IngestProcessor(EntitiesEdges(settings), stores.writer, letters, policy),
        limits=WindowLimits(max_records=10, max_bytes=1 << 20, linger_s=60),
        retries=RetryPolicy(attempts=1),
        flush_timeout_s=10,
        clock=SystemClock(),
        terminate=terminate,
    )
    fetch = Fetch(
        FakeRecord(value=VALUE, topic="entities-edges", headers=[("traceparent", TRACEPARENT.encode())]),
        FakeRecord(value=b"no json", topic="entities-edges", offset=1),
    )
    with kept_spans() as kept:
        await loop.add(fetch)
        await loop.drain()
    assert fetch.acked == 1
    spans = sorted(kept.get_finished_spans(), key=lambda span: span.start_time or 0)
    flush, *steps = spans
    assert flush.name == "flush entities-edges"
    assert [span.name for span in steps] == [
        *("ledger", "compare", "copy", "entities", "merge", "commit", "invalidate", "dead letters")
    ]
    assert {trace_of(span) for span in spans} == {TRACE_ID}
    assert all(below(step, flush) for step in steps)
    assert len(letters.letters) == 1
