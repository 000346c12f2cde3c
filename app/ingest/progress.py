"""Whether each partition moves: what is acknowledged of it, against the end of what can be read.

Pure logic: the transport tells the offsets, a clock the time. Nothing here asks Kafka.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from app.core.clock import Clock
from app.core.records import Offsets, Partition
from app.ports.health import DependencyState

_SAMPLE_S: Final = 1.0


@dataclass(slots=True)
class _Waiting:
    """A partition with something to do: since when its position is what it is, and when it was last ours."""

    offsets: Offsets
    since: float
    seen: float


class ProgressWatch:
    """A probe of /readyz that is red while a partition has records to process and its position stands still.

    Offsets are sampled each second, so a stall is told up to a second late. A partition of which nothing is known
    yet, as after a rebalance, is left as it was; one that went away and comes back at the same position within
    `limit_s` keeps its time, so that rebalances in a row hide no stall.
    """

    def __init__(
        self, offsets: Callable[[], Mapping[Partition, Offsets]], *, limit_s: float, clock: Clock
    ) -> None:
        """`offsets` gives the assigned partitions whose offsets are known."""
        self._offsets = offsets
        self._limit_s = limit_s
        self._clock = clock
        self._waiting: dict[Partition, _Waiting] = {}
        self._latest: Mapping[Partition, Offsets] = {}

    async def run(self) -> NoReturn:
        """Sample until cancelled."""
        while True:
            self.observe()
            await asyncio.sleep(_SAMPLE_S)

    def observe(self) -> None:
        """Take one sample."""
        now = self._clock.monotonic()
        self._latest = self._offsets()
        for partition, offsets in self._latest.items():
            before = self._waiting.get(partition)
            if not offsets.lag:
                self._waiting.pop(partition, None)
            elif before is None or before.offsets.acked != offsets.acked:
                self._waiting[partition] = _Waiting(offsets, since=now, seen=now)
            else:
                before.offsets, before.seen = offsets, now
        gone = [name for name, waiting in self._waiting.items() if now - waiting.seen > self._limit_s]
        for partition in gone:
            del self._waiting[partition]

    async def check(self) -> list[DependencyState]:
        """One line: the partition that stands still for longest, and how many others do."""
        self.observe()
        now = self._clock.monotonic()
        stalled = sorted(
            (waiting.since, partition, waiting.offsets)
            for partition, waiting in self._waiting.items()
            if partition in self._latest and now - waiting.since >= self._limit_s
        )
        detail = "every partition moves or has nothing to do"
        if stalled:
            since, partition, offsets = stalled[0]
            detail = (
                f"{partition.topic} partition {partition.number} makes no progress for {now - since:.0f} s: "
                f"it stands at offset {offsets.acked}, {offsets.lag} before its end"
            )
            if others := len(stalled) - 1:
                detail += f"; {others} more stand{'s' if others == 1 else ''} still"
        return [DependencyState(name="partitions", ready=not stalled, required=True, detail=detail)]
