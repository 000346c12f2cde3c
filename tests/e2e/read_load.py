"""Constant readers and a writer of one web worker, which check every answer and note how long it took."""

import asyncio
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import aiohttp
import orjson

from tests.e2e.read_world import Moving, ReadWorld, Target

CONNECTIONS: Final = 16
_PAUSE_S: Final = 0.04  # so that a busy client does not pass for a slow server
_WRITE_EVERY_S: Final = 0.05
_GIVEN_UP_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One request; `problem` says what was wrong with its answer."""

    kind: str
    started: float
    elapsed_s: float
    status: int
    cache: str
    problem: str | None

    @property
    def ended(self) -> float:
        return self.started + self.elapsed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A write, or a read whose answer is judged by the test."""

    started: float
    elapsed_s: float
    status: int
    retry_after: str | None
    content_type: str
    token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of the reads of a phase."""

    reads: int
    p50: float
    p99: float
    worst: float

    def __str__(self) -> str:
        return f"{self.p50:.0f}, {self.p99:.0f}, {self.worst:.0f}"

    @classmethod
    def of(cls, reads: Sequence[Read]) -> Self:
        ordered = sorted(read.elapsed_s * 1000 for read in reads)
        return cls(
            reads=len(ordered),
            p50=ordered[len(ordered) // 2],
            p99=ordered[len(ordered) * 99 // 100],
            worst=ordered[-1],
        )


class Load:
    """Use as a context manager. Everything is on the monotonic clock."""

    def __init__(self, url: str, world: ReadWorld, *, seed: int = 1) -> None:
        self._url = url
        self._world = world
        self._chance = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self.reads: list[Read] = []
        self.writes: list[Other] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=_GIVEN_UP_S),
        )
        self._tasks = [asyncio.create_task(self._read_on()) for _ in range(CONNECTIONS)]
        self._tasks.append(asyncio.create_task(self._write_on()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _read_on(self) -> None:
        while True:
            await self.read(self._world.choose(self._chance))
            await asyncio.sleep(_PAUSE_S)

    async def read(self, target: Moving | Target, *, headers: dict[str, str] | None = None) -> Read:
        """Ask once, judge the answer, and note it."""
        at_least = target.acknowledged if isinstance(target, Moving) else 0
        started = time.monotonic()
        status, cache, problem = 0, "", None
        try:
            async with self._session.get(target.path, headers=headers) as response:
                body = await response.read()
            status, cache = response.status, response.headers.get("Cache-Status", "")
            if status == 200:
                # What a replica had not received when the primary died is older, and the answer says so.
                problem = target.problem(body, 0 if "detail=unverified" in cache else at_least)
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = repr(error)
        done = Read(
            kind=target.kind,
            started=started,
            elapsed_s=time.monotonic() - started,
            status=status,
            cache=cache,
            problem=problem,
        )
        self.reads.append(done)
        return done

    async def _write_on(self) -> None:
        while True:
            await self.write(self._chance.choice(self._world.moving))
            await asyncio.sleep(_WRITE_EVERY_S)

    async def write(self, moving: Moving) -> Other:
        """Raise the number of one entity."""
        moving.sent += 1
        n = moving.sent
        body = {"entities": [{"reference": moving.reference, "type": "user", "properties": {"n": n}}]}
        done = await self._ask(
            "POST", "/v1/graph/sync", {"Content-Type": "application/json"}, orjson.dumps(body)
        )
        if done.status == 202:
            moving.acknowledged = max(moving.acknowledged, n)
        self.writes.append(done)
        return done

    async def get(self, path: str, *, headers: dict[str, str]) -> Other:
        """Ask without judging."""
        return await self._ask("GET", path, headers)

    async def _ask(self, method: str, path: str, headers: dict[str, str], data: bytes = b"") -> Other:
        started = time.monotonic()
        async with self._session.request(method, path, data=data or None, headers=headers) as response:
            await response.read()
            return Other(
                started=started,
                elapsed_s=time.monotonic() - started,
                status=response.status,
                retry_after=response.headers.get("Retry-After"),
                content_type=response.content_type,
                token=response.headers.get("Consistency-Token"),
            )

    def reads_of(self, start: float, end: float) -> list[Read]:
        """Those that were under way at some time between the two."""
        return [read for read in self.reads if read.ended >= start and read.started < end]

    def writes_of(self, start: float, end: float) -> list[Other]:
        """Those that began between the two."""
        return [write for write in self.writes if start <= write.started < end]


def wrong(reads: Iterable[Read]) -> list[Read]:
    """Answers that say what is not so."""
    return [read for read in reads if read.status == 200 and read.problem is not None]


def failed(reads: Iterable[Read]) -> list[Read]:
    """Reads without an answer."""
    return [read for read in reads if read.status != 200]


def hit_rate(reads: Sequence[Read]) -> float:
    """Of what can be a hit."""
    cacheable = [read for read in reads if read.kind in ("by id", "by property")]
    return sum("; hit" in read.cache for read in cacheable) / max(1, len(cacheable))
