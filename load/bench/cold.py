"""`bench-mixed --part cold`: the mix of the k6 test from empty caches, with and without changes that wait for CDC.

Each run has a web worker of its own, with an empty memory and a cache prefix that Redis knows nothing of. Clients ask
one request after the other, each a different one, until so many were asked. With a backlog, a worker with the role cdc
publishes changes meanwhile, which lie in a topic of the run's own.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from app.config.settings import Role, Settings
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from load.bench.beside_ingestion import hold_back, names
from load.bench.capture import burn_xids, message_of
from load.bench.events_pipeline import settings_of
from load.bench.mix import draw_requests
from load.generate.changes import changes, newest_xid
from load.generate.entities_csv import export
from load.measure.closed_loop import Answers, ask_all
from load.measure.cpu import family_s
from load.measure.latency import percentile
from load.measure.processes import started
from load.measure.readers import committed, delete_topics
from load.measure.server_cpu import ServerCpu
from load.measure.spread import spread
from load.measure.web_worker import web_worker
from storage.redis.cluster import RedisNodes

CONNECTIONS: Final = (50, 200)
REQUESTS: Final = 2_000
_USERS: Final = 2_222
_WANTED_MS: Final = 2.5  # of CPU for a request, of all three
_COLUMNS: Final = (
    *("connections", "changes waiting", "requests/s", "p50, p99 ms", "503", "timed out"),
    *("API", "Redis", "PostgreSQL", "together", "to what is wanted", "to none waiting"),
)
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cold:
    """One run; CPU in seconds. Of what is not on this machine, or not seen from here, it is None."""

    connections: int
    backlog: int
    answers: Answers
    api_s: float
    redis_s: float | None
    postgres_s: float | None
    published: int  # changes, until the last answer

    @property
    def cpu_ms(self) -> float:
        """Of API, Redis and PostgreSQL for each request."""
        return 1000 * (self.api_s + (self.redis_s or 0) + (self.postgres_s or 0)) / self.answers.asked


def run(backlog: int, rounds: int) -> int:
    """Measure and print a Markdown table; 1 where a request was not answered in time, or cost too much."""
    settings = Settings()
    found: list[Cold] = []
    with tempfile.TemporaryDirectory() as directory:
        csv, urls = Path(directory) / "entities.csv", Path(directory) / "urls.txt"
        _, email_path = export(settings, csv, limit=_USERS)
        servers = ServerCpu.find(settings)
        for turn in range(rounds):
            draw_requests(csv, urls, count=REQUESTS, seed=turn + 1, email_path=email_path)
            paths = urls.read_text("utf-8").splitlines()
            order = [(count, waiting) for count in CONNECTIONS for waiting in (0, backlog)]
            for connections, waiting in order if turn % 2 == 0 else order[::-1]:
                found.append(asyncio.run(measure(paths, servers, connections=connections, backlog=waiting)))
    print(table(found), flush=True)
    late = sum(each.answers.timed_out for each in found)
    return 1 if late or any(each.cpu_ms > _WANTED_MS for each in found) else 0


async def measure(paths: Sequence[str], servers: ServerCpu, *, connections: int, backlog: int) -> Cold:
    """Ask every path once, from empty caches."""
    settings = settings_of(f"cold-{time.time_ns()}").model_copy(update={"roles": [Role.CDC]})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_forget, settings)
        worker = stack.enter_context(web_worker({"PROFILE_CACHE_PREFIX": settings.app_id}))
        admin = AIOKafkaAdminClient(**client_options(settings.kafka))
        await admin.start()
        stack.push_async_callback(admin.close)
        if backlog:
            await stack.enter_async_context(_publishing(settings, admin, backlog))
        before = family_s(worker.pid), servers.redis_s(), servers.postgres_s()
        answers = await ask_all(worker.url, paths, connections=connections)
        after = family_s(worker.pid), servers.redis_s(), servers.postgres_s()
        published = await committed(admin, settings, settings.topics.cdc) if backlog else 0
        return Cold(
            connections=connections,
            backlog=backlog,
            answers=answers,
            api_s=after[0] - before[0],
            redis_s=_difference(before[1], after[1]),
            postgres_s=_difference(before[2], after[2]),
            published=published,
        )


@asynccontextmanager
async def _publishing(settings: Settings, admin: AIOKafkaAdminClient, backlog: int) -> AsyncIterator[None]:
    """A worker that has begun to publish so many changes; they invalidate what the readers' worker caches."""
    async with AsyncExitStack() as stack:
        await create_topics(settings.kafka, settings.topic_specs)
        stack.push_async_callback(delete_topics, settings.kafka, {spec.name for spec in settings.topic_specs})
        await burn_xids(settings, newest_xid(backlog))
        told = [message_of(change) for change in changes(backlog)]
        waiting = await hold_back(settings, [(settings.topics.cdc, told)])
        stack.push_async_callback(waiting.stop)
        command = [sys.executable, "-m", "app", "worker", "-l", "error"]
        environment = os.environ | names(settings) | {"PROFILE_ROLES": Role.CDC.value}
        stack.enter_context(started(command, environment=environment, stdout=subprocess.DEVNULL))
        await waiting.commit_transaction()
        while not await committed(admin, settings, settings.topics.cdc):  # noqa: ASYNC110 - it says nothing of it
            await asyncio.sleep(_POLL_S)
        yield


async def _forget(settings: Settings) -> None:
    nodes = RedisNodes(settings.redis_nodes, timeout_s=settings.redis_timeout_s)
    try:
        with suppress(OSError):
            await nodes.unlink_matching(f"{settings.app_id}*")
    finally:
        await nodes.close()


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def table(found: Sequence[Cold]) -> str:
    """In Markdown, a row for each number of connections with and without a backlog."""
    lines = [
        f"\nThe mix from empty caches, {found[0].answers.asked:,} requests each; CPU in ms for each request\n",
        f"| {' | '.join(_COLUMNS)} |",
        "|---" * len(_COLUMNS) + "|",
    ]
    for connections, backlog in dict.fromkeys((each.connections, each.backlog) for each in found):
        runs = [each for each in found if (each.connections, each.backlog) == (connections, backlog)]
        alone = [each for each in found if (each.connections, each.backlog) == (connections, 0)]
        times = [time for each in runs for time in each.answers.seconds]
        ratios = [mine.cpu_ms / other.cpu_ms for mine, other in zip(runs, alone, strict=True)]
        cells = [
            f"{connections}",
            f"{backlog:,}",
            spread([each.answers.per_s for each in runs], "{:,.0f}"),
            f"{1000 * percentile(times, 0.5):.0f}, {1000 * percentile(times, 0.99):.0f}",
            f"{sum(each.answers.refused for each in runs):,}",
            f"{sum(each.answers.timed_out for each in runs):,}",
            _ms([each.api_s for each in runs], runs),
            _ms([each.redis_s for each in runs], runs),
            _ms([each.postgres_s for each in runs], runs),
            spread([each.cpu_ms for each in runs], "{:.2f}"),
            spread([each.cpu_ms / _WANTED_MS for each in runs], "{:.2f}"),
            spread(ratios, "{:.2f}") if backlog else "1",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ms(seconds: Sequence[float | None], runs: Sequence[Cold]) -> str:
    known = [1000 * s / each.answers.asked for s, each in zip(seconds, runs, strict=True) if s is not None]
    return spread(known, "{:.2f}") if known else "-"
