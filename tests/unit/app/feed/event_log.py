"""The topic of domain events, in memory."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from app.core.domain_event import DomainEvent
from app.core.errors import TransientError
from app.feed.log import Bounds, Fetched


@dataclass
class Topic:
    """Partitions of events; `down` makes every call of a reader fail. `made` counts readers, `open` those now."""

    partitions: int = 2
    records: list[list[DomainEvent]] = field(default_factory=list)
    oldest: Counter[int] = field(default_factory=Counter)
    down: bool = False
    per_fetch: int = 3
    made: int = 0
    open: int = 0
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.records = [[] for _ in range(self.partitions)]

    def tell(
        self,
        number: int,
        *,
        partition: int = 0,
        kind: str = "entity_created",
        subjects: tuple[str, ...] = ("user:a",),
        body: bytes | None = None,
    ) -> None:
        records = self.records[partition]
        told = body or b'{"n": %d}' % number
        records.append(
            DomainEvent(partition=partition, offset=len(records), type=kind, subjects=subjects, body=told)
        )
        self.told.set()

    def reader(self) -> "Reader":
        self.made += 1
        return Reader(self)


class Reader:
    """Implements app.feed.log.EventLog."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._positions: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)
        self._require()
        self._topic.open += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._topic.open -= 1
        await asyncio.sleep(0)

    def _require(self) -> None:
        if self._topic.down:
            raise TransientError("Kafka does not answer.")

    async def bounds(self) -> Mapping[int, Bounds]:
        await asyncio.sleep(0)
        self._require()
        topic = self._topic
        return {
            number: Bounds(topic.oldest[number], len(records)) for number, records in enumerate(topic.records)
        }

    def seek(self, positions: Mapping[int, int]) -> None:
        self._positions = dict(positions)

    async def fetch(self, *, timeout_s: float) -> Fetched:
        await asyncio.sleep(0)
        self._require()
        found = self._found()
        if not found:
            self._topic.told.clear()
            try:
                async with asyncio.timeout(min(timeout_s, 0.05)):
                    await self._topic.told.wait()
            except TimeoutError:
                pass
            self._require()
            found = self._found()
        for event in found:
            self._positions[event.partition] = event.offset + 1
        return Fetched(found, dict(self._positions))

    def _found(self) -> list[DomainEvent]:
        found: list[DomainEvent] = []
        for number, position in self._positions.items():
            found += self._topic.records[number][position : position + self._topic.per_fetch]
        return found
