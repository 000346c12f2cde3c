"""aiokafka's producer, as far as DurableProducer uses it."""

import asyncio
from typing import Any, ClassVar


class FakeBatch:
    """Full with one record."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.closed = False

    def append(self, **record: Any) -> object | None:
        if self.records:
            return None
        self.records.append(record)
        return object()

    def close(self) -> None:
        self.closed = True

    def size(self) -> int:
        return sum(len(record["value"] or b"") for record in self.records)


class FakeClient:
    """Its connections, or what sends over them."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class FakeProducer:
    """Holds every delivery open until the test ends it, or until `ends_deliveries` does."""

    made: ClassVar[list["FakeProducer"]] = []
    ends_deliveries: ClassVar[bool] = False
    failures: ClassVar[list[Exception]] = []

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.records: list[dict[str, Any]] = []  # as they were appended, with their topic
        self.deliveries: list[asyncio.Future[None]] = []
        self.stopped = False
        self.hangs = False
        self.client, self._sender = FakeClient(), FakeClient()
        self.made.append(self)

    @property
    def sent(self) -> list[bytes]:
        return [record["value"] for record in self.records]

    async def start(self) -> None: ...

    async def stop(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.stopped = True

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> "asyncio.Future[None]":
        assert batch.closed, "one that is open waits for more"
        self.records += [record | {"topic": topic} for record in batch.records]
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.deliveries.append(delivery)
        if self.failures:
            delivery.set_exception(self.failures.pop(0))
        elif self.ends_deliveries:
            delivery.set_result(None)
        return delivery
