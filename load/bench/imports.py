"""`bench-mixed --part import`: a large import into a fresh database while people read.

A database of its own, with its connector, slot and topics; all of it is removed afterwards. The records of the three
normalised topics lie in a transaction that ends when a worker with all roles runs and has read some trees. Then it is
watched: what it took in, what was published of it, the memory of its processes, and reads at a fixed rate, half of them
of trees that were read before and half of entities of the import.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
from aiokafka.admin import AIOKafkaAdminClient

from app.config.settings import Settings
from app.kafka.client import client_options
from app.kafka.reading import bounds
from load.bench.beside_ingestion import INGESTING, environment, hold_back, new_records, warm
from load.bench.events_pipeline import captured, settings_of
from load.bench.sizes import execute, of_database
from load.errors import LoadError
from load.generate.sending import Message
from load.measure.bare_server import bare_server
from load.measure.cpu import children
from load.measure.fetching import fetch
from load.measure.latency import percentile
from load.measure.memory import family_mb
from load.measure.open_loop import OpenLoop
from load.measure.processes import Server
from load.measure.readers import committed
from load.measure.web_worker import web_worker
from storage.postgres.migrator import migrate

LOOKED_AT_S: Final = 1.0
_TOLD_S: Final = 30.0  # between two lines of progress
_STILL_S: Final = 5.0  # without a change, and everything is taken for published
_SENT: Final = """
    SELECT sent_lsn >= $2::text::pg_lsn
    FROM pg_stat_replication JOIN pg_replication_slots ON active_pid = pid WHERE slot_name = $1"""
_TENTH: Final = 0.1
_IMPORTED: Final = 50  # entities of the import that are read while it runs
_MEMORY, _RATE, _EVENTS = 1.2, 0.8, 1.5  # what is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was seen after so many seconds."""

    at_s: float
    taken_in: int
    published: int  # changes that are domain events by now
    processes_mb: Sequence[float]  # of the worker's own and of its children, by age
    reads: Sequence[float] = ()  # seconds of each since the moment before
    bare: Sequence[float] = ()
    failed: int = 0  # reads without an answer, or with an error

    @property
    def memory_mb(self) -> float:
        return sum(self.processes_mb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A whole import. `events` came of `changes`; `rows` are those of the database at the end."""

    records: int
    moments: Sequence[Moment] = field(default_factory=list)
    events: int = 0
    rows: int = 0
    restarts: int = 0

    @property
    def took_s(self) -> float:
        """From its beginning to when everything was taken in."""
        return next(m.at_s for m in self.moments if m.taken_in >= self.records)

    @property
    def complete_s(self) -> float:
        """From its beginning to when all its domain events were published."""
        return next(m.at_s for m in self.moments if m.published >= self.moments[-1].published)

    def rate(self, start: float, end: float) -> float:
        """Records a second between two shares of all."""
        first = next(m for m in self.moments if m.taken_in >= start * self.records)
        last = next(m for m in self.moments if m.taken_in >= end * self.records)
        seconds = last.at_s - first.at_s
        return (last.taken_in - first.taken_in) / seconds if seconds else 0.0

    def memory_mb(self, share: float) -> float:
        """Of the worker, when so much was taken in."""
        return next(m.memory_mb for m in self.moments if m.taken_in >= share * self.records)

    @property
    def highest_mb(self) -> float:
        return max(m.memory_mb for m in self.moments)


def run(count: int, *, rate: int, timeout_s: float, processes: str) -> int:
    """Import, and print a Markdown table; 1 where something falls short of what is wanted."""
    found = asyncio.run(measure(count, rate=rate, timeout_s=timeout_s, processes=processes))
    print(table(found), flush=True)
    return 0 if all(passed for *_, passed in judged(found)) else 1


async def measure(count: int, *, rate: int, timeout_s: float, processes: str = "auto") -> Import:
    """Import so many records, a third of each topic. Raises LoadError where it does not end in time."""
    async with AsyncExitStack() as stack:
        settings = await stack.enter_async_context(_fresh_database(f"import-{secrets.token_hex(4)}"))
        sql = await stack.enter_async_context(captured(settings))
        share = count // len(INGESTING)
        users: list[str] = []
        waiting = await hold_back(settings, _noting(users, settings, new_records(settings, share)))
        stack.push_async_callback(waiting.stop)
        worker = stack.enter_context(web_worker(environment(settings, processes) | _databases(settings)))
        paths = warm(worker.url, settings.app_id)
        bodies = [fetch(worker.url + path) for path in paths]
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        bare = stack.enter_context(bare_server(bodies, Path(directory) / "bodies.json"))
        people = [f"/v1/graph/by-reference/user/{user}" for user in users]
        watched = _Watch(settings, sql, worker, share * len(INGESTING))
        await stack.enter_async_context(watched.reading(paths + people, bare.url, rate))
        await waiting.commit_transaction()
        return await watched.until_complete(timeout_s)


@asynccontextmanager
async def _fresh_database(name: str) -> AsyncIterator[Settings]:
    base, database = Settings(), name.replace("-", "_")
    await execute(base, f"CREATE DATABASE {database}")
    try:
        settings = of_database(settings_of(name), database)
        await migrate(settings.postgres_dsn.get_secret_value())
        yield settings
    finally:
        await execute(base, f"DROP DATABASE {database} WITH (FORCE)")


def _databases(settings: Settings) -> dict[str, str]:
    replicas = [dsn.get_secret_value() for dsn in settings.postgres_replica_dsns]
    return {
        "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "PROFILE_POSTGRES_READ_DSN": settings.read_dsn.get_secret_value(),
        "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
        "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(replicas),
    }


def _noting(
    users: list[str], settings: Settings, told: Iterable[tuple[str, list[Message]]]
) -> Iterator[tuple[str, list[Message]]]:
    """The same; `users` are some of those that it is about, afterwards."""
    for topic, messages in told:
        if topic == settings.topics.temporal_data:
            named = (orjson.loads(message.value)["entity_reference"] for message in messages)
            users += islice(dict.fromkeys(named), _IMPORTED)
        yield topic, messages


class _Watch:
    """Reads beside the import, and looks at it each second."""

    def __init__(self, settings: Settings, sql: Any, worker: Server, expected: int) -> None:
        self._settings = settings
        self._sql = sql
        self._worker = worker
        self._expected = expected
        self._times: list[float] = []
        self._bare: list[float] = []
        self._failed = 0

    @asynccontextmanager
    async def reading(self, paths: Sequence[str], bare_url: str, rate: int) -> AsyncIterator[None]:
        """Read both servers at this rate until it closes. What is not there yet is answered with 404, which counts."""

        async def ask(url: str, times: list[float]) -> None:
            while True:
                try:
                    async with OpenLoop(url, paths, also=(404,)) as loop:
                        while True:
                            times += await loop.run(rate, LOOKED_AT_S)
                except (LoadError, OSError, asyncio.IncompleteReadError) as error:
                    if url != bare_url:
                        self._failed += 1
                        print(f"A read failed: {error}", flush=True)
                    await asyncio.sleep(LOOKED_AT_S)

        tasks = [
            asyncio.create_task(ask(self._worker.url, self._times)),
            asyncio.create_task(ask(bare_url, self._bare)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until_complete(self, timeout_s: float) -> Import:
        """Everything taken in, and everything of it published."""
        settings, moments = self._settings, list[Moment]()
        admin = AIOKafkaAdminClient(**client_options(settings.kafka))
        await admin.start()
        processes = _processes(self._worker.pid)
        try:
            began = told_at = time.monotonic()
            position, still = None, _Still()
            while True:
                taken = sum([await committed(admin, settings, topic) for topic in settings.topics.normalised])
                published = await committed(admin, settings, settings.topics.cdc)
                moments.append(self._moment(time.monotonic() - began, taken, published))
                if time.monotonic() > told_at + _TOLD_S:
                    told_at = time.monotonic()
                    print(
                        f"{moments[-1].at_s:,.0f} s: {taken:,} taken in, {published:,} published", flush=True
                    )
                if position is None and taken >= self._expected:
                    position = await self._sql.fetchval("SELECT pg_current_wal_lsn()::text")
                if position is not None and await self._is_sent(position):
                    known = (await _bounds(settings, settings.topics.cdc)).values()
                    if still.since(published, sum(end for _, end in known)) >= _STILL_S:
                        break
                if moments[-1].at_s > timeout_s:
                    raise LoadError(
                        f"{taken:,} of {self._expected:,} records and {published:,} changes in {timeout_s:,.0f} s; "
                        "see --timeout."
                    )
                await asyncio.sleep(LOOKED_AT_S)
            told = await _bounds(settings, settings.topics.domain_events)
            events = sum(end - first for first, end in told.values())
        finally:
            await admin.close()
        return Import(
            records=self._expected,
            moments=moments,
            events=events,
            rows=await self._rows(),
            restarts=len(processes - _processes(self._worker.pid)),
        )

    def _moment(self, at_s: float, taken: int, published: int) -> Moment:
        (times, self._times[:]), (bare, self._bare[:]) = (list(self._times), []), (list(self._bare), [])
        failed, self._failed = self._failed, 0
        return Moment(
            at_s=at_s,
            taken_in=taken,
            published=published,
            processes_mb=family_mb(self._worker.pid),
            reads=times,
            bare=bare,
            failed=failed,
        )

    async def _is_sent(self, position: str) -> bool:
        """Whether the connector was given everything up to this position."""
        return bool(await self._sql.fetchval(_SENT, self._settings.cdc_slot, position))

    async def _rows(self) -> int:
        tables = ("entities", "edges", "temporal_properties")
        return sum([await self._sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


class _Still:
    """For how long the topic of changes has not grown, with everything in it published."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = time.monotonic()

    def since(self, published: int, end: int) -> float:
        """Seconds."""
        if self._seen != (published, end) or published < end:
            self._seen, self._since = (published, end), time.monotonic()
        return time.monotonic() - self._since


async def _bounds(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    return await bounds(settings.kafka, topic)


def _processes(pid: int) -> set[int]:
    return {pid, *children(pid)}


def judged(found: Import) -> list[tuple[str, str, str, bool]]:
    """What is wanted: a name, the figure, the bound, and whether it holds."""
    memory = found.highest_mb / found.memory_mb(_TENTH)
    # Where a tenth took less than the time between two looks, no rate is known.
    rates = found.rate(1 - 2 * _TENTH, 1 - _TENTH), found.rate(_TENTH, 2 * _TENTH)
    rate = rates[0] / rates[1] if all(rates) else 1.0
    events = found.complete_s / found.took_s
    failed = sum(m.failed for m in found.moments)
    return [
        ("memory, most to that after a tenth", f"{memory:.2f}", f"at most {_MEMORY}", memory <= _MEMORY),
        ("rate of the ninth tenth to the second", f"{rate:.2f}", f"at least {_RATE}", rate >= _RATE),
        (
            "time to all events to time of the import",
            f"{events:.2f}",
            f"at most {_EVENTS}",
            events <= _EVENTS,
        ),
        ("reads that failed", f"{failed:,}", "none", not failed),
        ("processes that ended", f"{found.restarts}", "none", not found.restarts),
    ]


def table(found: Import) -> str:
    """In Markdown: the import by tenths, its sums, and what is wanted."""
    lines = [
        f"\n{found.records:,} records in {found.took_s:,.0f} s, {found.rows:,} rows\n",
        f"{found.events:,} domain events, complete after {found.complete_s:,.0f} s\n",
        "| taken in | records/s | changes published | worker MB | reads: p50, p99 ms | bare: p50, p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for tenth in range(1, 11):
        start, end = (tenth - 1) / 10, tenth / 10
        within = [m for m in found.moments if start * found.records < m.taken_in <= end * found.records]
        if not within:  # it took less than the time between two looks
            continue
        cells = [
            f"{end:.0%}",
            f"{found.rate(start, end):,.0f}",
            f"{within[-1].published:,}",
            f"{within[-1].memory_mb:,.0f}: {', '.join(f'{each:.0f}' for each in within[-1].processes_mb)}",
            _times([time for m in within for time in m.reads]),
            _times([time for m in within for time in m.bare]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["\n| what | measured | wanted | |", "|---|---|---|---|"]
    lines += [
        f"| {what} | {figure} | {bound} | {'✓' if holds else '✗'} |"
        for what, figure, bound, holds in judged(found)
    ]
    return "\n".join(lines)


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    return f"{1000 * percentile(seconds, 0.5):.1f}, {1000 * percentile(seconds, 0.99):.0f}"
