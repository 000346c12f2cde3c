"""A fault of a server while reads go on: before, during, after, and what has to hold of each."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from app.config.settings import Role, Settings
from tests.e2e.own_stack import OwnStack
from tests.e2e.read_load import CONNECTIONS, Load, Read, Times, failed, hit_rate, wrong
from tests.e2e.read_world import ReadWorld
from tests.e2e.workers import Worker, until_logged

WARM_S: Final = 1.5
BEFORE_S: Final = 1.0
DURING_S: Final = 4.0
AFTER_S: Final = 1.0
P99_MS: Final = 250.0
SILENT_CACHE_MS: Final = (
    1_000.0  # where readers wait for Redis, once or twice each, until its breakers are open
)
WORST_MS: Final = 2_000.0
HUNG_MS: Final = 3_000.0  # where each reader waits once for a server of PostgreSQL that says nothing
MET_S: Final = 2.0  # by then all have met it; later on single probes wait for it
PROBES: Final = 6
NOISE: Final = (
    5.0  # on a machine that is busy with something else, times are judged by those before the fault
)
BACK_S: Final = 20.0  # from the server's answer to everything as before


@dataclass(slots=True, kw_only=True)
class Fault:
    """What a test has in its hands: the servers, the worker and the load on it."""

    stack: OwnStack
    settings: Settings
    worker: Worker
    load: Load
    world: ReadWorld
    report: Callable[[str], None]
    began: float = 0.0
    ended: float = 0.0

    async def begin(self) -> None:
        """The fault is about to be made: what is under way belongs to it."""
        before = self.load.reads_of(time.monotonic() - BEFORE_S, time.monotonic())
        assert not (bad := [*wrong(before), *failed(before)]), bad[:3]
        self.began = time.monotonic()

    async def last(self, seconds: float = DURING_S) -> list[Read]:
        """Let it last; returns the reads since it began."""
        await asyncio.sleep(seconds)
        self.ended = time.monotonic()
        return self.during

    @property
    def during(self) -> list[Read]:
        return self.load.reads_of(self.began, self.ended)

    async def recovered(self, *conditions: Callable[[], Awaitable[bool]]) -> float:
        """Wait until all of it is as before, without a restart; returns the seconds that it took."""
        started = time.monotonic()
        for condition in (self._hits_again, self._writes_again, *conditions):
            while not await condition():
                assert time.monotonic() - started < BACK_S, f"{condition} after {BACK_S} s"
                await asyncio.sleep(0.1)
        return time.monotonic() - started

    async def _hits_again(self) -> bool:
        now = time.monotonic()
        return hit_rate(self.load.reads_of(now - 0.3, now)) > 0.9

    async def _writes_again(self) -> bool:
        return (await self.load.write(self.world.moving[0])).status == 202

    def replica_is_used(self, number: int) -> Callable[[], Awaitable[bool]]:
        """Whether the worker asked this replica something after now."""
        since = time.time()

        async def is_used() -> bool:
            connection = await asyncpg.connect(self.stack.settings.postgres_dsn(number, database="postgres"))
            try:
                used: bool = await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'user-profile reader%' "
                    "AND query_start > to_timestamp($1))",
                    since,
                )
                return used
            finally:
                await connection.close()

        return is_used

    @property
    def complaints(self) -> list[str]:
        """What the worker's log says of failures."""
        return [line for line in self.worker.log.splitlines() if " failed with " in line][-10:]

    async def judge(self, name: str, *, hung: bool = False, p99_ms: float = P99_MS) -> None:
        """All that was read until now is right, none failed, and it was quick enough during the fault."""
        await asyncio.sleep(AFTER_S)
        now = time.monotonic()
        phases = {
            "before": self.load.reads_of(self.began - BEFORE_S, self.began - 0.05),
            "during": self.during,
            "after": self.load.reads_of(now - AFTER_S, now),
        }
        before, during, after = map(Times.of, phases.values())
        hits = " ".join(f"{hit_rate(reads):.0%}" for reads in phases.values())
        self.report(f"| {name} | {before} | {during} | {after} | {during.reads} | {hits} |")
        assert not (bad := wrong(self.load.reads)), bad[:3]
        assert not (bad := failed(self.load.reads)), (bad[:3], self.complaints)
        assert during.reads > 100, str(during)
        assert during.p99 < max(HUNG_MS if hung else p99_ms, NOISE * before.p99), str(during)
        if hung:
            later = [read for read in self.during if read.started > self.began + MET_S]
            slow = [read for read in later if read.elapsed_s > MET_S / 2]
            assert len(slow) <= max(PROBES, len(later) // 30), f"{len(slow)} of {len(later)} waited again"
        assert during.worst < max(HUNG_MS if hung else WORST_MS, NOISE * before.worst), str(during)


def unverified(reads: Sequence[Read]) -> list[Read]:
    return [read for read in reads if "detail=unverified" in read.cache]


@asynccontextmanager
async def under_load(
    stack: OwnStack,
    settings: Settings,
    world: ReadWorld,
    directory: Path,
    report: Callable[[str], None],
) -> AsyncIterator[Fault]:
    """A web worker with warm caches, and readers."""
    web = settings.model_copy(update={"roles": [Role.WEB]})
    with Worker(web, directory / "worker.log") as worker:
        await until_logged(worker, "listening on", within_s=90)
        async with Load(f"http://127.0.0.1:{web.web_port}", world) as load:
            targets = [*world.hot, *world.looked_up]
            for start in range(0, len(targets), CONNECTIONS):
                await asyncio.gather(*map(load.read, targets[start : start + CONNECTIONS]))
            fault = Fault(stack=stack, settings=web, worker=worker, load=load, world=world, report=report)
            await asyncio.sleep(WARM_S)
            await fault.recovered()
            yield fault
            assert worker.process.poll() is None
