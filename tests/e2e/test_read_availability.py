"""Reads while PostgreSQL or Redis is away: right, answered, within stated times, and back without a restart.

The bounds are those of tests/e2e/read_faults.py, and what was measured is in load/RESULTS.md.
"""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from tests.e2e import read_world
from tests.e2e.own_stack import OwnStack
from tests.e2e.read_faults import SILENT_CACHE_MS, Fault, under_load, unverified
from tests.e2e.read_load import failed, hit_rate
from tests.e2e.read_world import ReadWorld
from tests.stack import application_settings, create_database, drop_database

HANGS_S = 6.0  # three times what a request may wait for it
NOTICED_BY_REDIS_S = 7.0  # cluster-node-timeout, and its nodes' talk about it

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def database(own_stack: OwnStack) -> Iterator[str]:
    """A database with the data set, on the own stack."""
    own_stack.start("postgres", "redis")
    name = f"test_{uuid.uuid4().hex[:12]}"

    async def make() -> None:
        await create_database(own_stack.settings, name)
        await read_world.fill(_settings(own_stack, name, cache_prefix=name, port=0))

    asyncio.run(make())
    yield name
    own_stack.start("postgres")
    asyncio.run(drop_database(own_stack.settings, name))


def _settings(own: OwnStack, database: str, *, cache_prefix: str, port: int) -> Settings:
    settings = application_settings(
        own.settings, database=database, topic_prefix=f"t-{database}.", cache_prefix=cache_prefix
    )
    return settings.model_copy(update={"web_port": port})


@pytest.fixture(scope="module")
def world(own_stack: OwnStack, database: str) -> ReadWorld:
    return asyncio.run(read_world.observe(_settings(own_stack, database, cache_prefix=database, port=0)))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Writes to the terminal, captured or not."""
    plugins = request.config.pluginmanager
    reporter, capture = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")

    def write(line: str) -> None:
        if reporter is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                reporter.ensure_newline()
                reporter.write_line(line)

    return write


@pytest.fixture
def web(own_stack: OwnStack, database: str, unused_tcp_port: int, run_id: str) -> Settings:
    """A worker's settings, with cache keys of its own."""
    return _settings(own_stack, database, cache_prefix=f"t-{run_id}", port=unused_tcp_port)


@pytest.fixture
async def fault(
    own_stack: OwnStack, web: Settings, world: ReadWorld, tmp_path: Path, report: Callable[[str], None]
) -> AsyncIterator[Fault]:
    """All servers well, a worker with warm caches, and readers."""
    fresh = replace(world, cold=list(world.cold))
    try:
        async with under_load(own_stack, web, fresh, tmp_path, report) as begun:
            yield begun
    finally:
        await asyncio.to_thread(_mend, own_stack)


def _mend(own: OwnStack) -> None:
    for name in ("postgres", "redis"):
        for index in range(3):
            own.signal_all_of(name, signal.SIGCONT, index=index)
    own.start("postgres", "redis")
    for number in (1, 2):
        asyncio.run(_replica(own, number, "SELECT pg_wal_replay_resume()"))


async def _replica(own: OwnStack, number: int, statement: str) -> object:
    connection = await asyncpg.connect(own.settings.postgres_dsn(number, database="postgres"))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _pause(own: OwnStack, number: int) -> None:
    await _replica(own, number, "SELECT pg_wal_replay_pause()")
    async with asyncio.timeout(10):
        state = None
        while state != "paused":
            state = await _replica(own, number, "SELECT pg_get_wal_replay_pause_state()")


async def _resume(own: OwnStack, number: int) -> None:
    await _replica(own, number, "SELECT pg_wal_replay_resume()")


async def test_a_replica_killed(fault: Fault) -> None:
    await fault.begin()
    await asyncio.to_thread(fault.stack.stop, "postgres", signal.SIGKILL, index=1)
    reads = await fault.last()
    assert not unverified(reads)
    await asyncio.to_thread(fault.stack.start, "postgres")
    await fault.recovered(fault.replica_is_used(1))
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("a replica killed")


@pytest.mark.ci
async def test_replay_paused_on_a_replica(fault: Fault) -> None:
    await fault.begin()
    await _pause(fault.stack, 1)
    reads = await fault.last()
    assert not unverified(reads)
    await _resume(fault.stack, 1)
    await fault.recovered(fault.replica_is_used(1))
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("replay paused on a replica")


async def test_one_replica_killed_and_replay_paused_on_the_other(fault: Fault) -> None:
    await fault.begin()
    await _pause(fault.stack, 2)
    await asyncio.to_thread(fault.stack.stop, "postgres", signal.SIGKILL, index=1)
    reads = await fault.last()
    assert not unverified(reads)
    await _resume(fault.stack, 2)
    await asyncio.to_thread(fault.stack.start, "postgres")
    await fault.recovered(fault.replica_is_used(1), fault.replica_is_used(2))
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("a replica killed, replay paused on the other")


@pytest.mark.ci
async def test_the_primary_killed(fault: Fault) -> None:
    await fault.begin()
    await asyncio.to_thread(fault.stack.stop, "postgres", signal.SIGKILL)
    reads = await fault.last()
    assert {read.kind for read in unverified(reads)} >= {"uncached"}
    writes = fault.load.writes_of(fault.began + 0.5, fault.ended)
    assert writes
    assert {(write.status, write.content_type) for write in writes} == {(503, "application/problem+json")}
    assert all(write.retry_after for write in writes)
    assert max(write.elapsed_s for write in writes) < 2
    await asyncio.to_thread(fault.stack.start, "postgres")
    await fault.recovered(fault.replica_is_used(1), fault.replica_is_used(2))
    await fault.judge("the primary killed")


async def test_a_replica_hanging(fault: Fault) -> None:
    await fault.begin()
    fault.stack.signal_all_of("postgres", signal.SIGSTOP, index=1)
    reads = await fault.last(HANGS_S)
    assert not unverified(reads)
    fault.stack.signal_all_of("postgres", signal.SIGCONT, index=1)
    await fault.recovered(fault.replica_is_used(1))
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("a replica hanging", hung=True)


@pytest.mark.ci
async def test_the_primary_hanging(fault: Fault) -> None:
    await fault.begin()
    fault.stack.signal_all_of("postgres", signal.SIGSTOP)
    reads = await fault.last(HANGS_S)
    assert {read.kind for read in unverified(reads)} >= {"uncached"}
    fault.stack.signal_all_of("postgres", signal.SIGCONT)
    await fault.recovered(fault.replica_is_used(1), fault.replica_is_used(2))
    assert {write.status for write in fault.load.writes} <= {202, 503}
    await fault.judge("the primary hanging", hung=True)


async def test_a_token_that_no_replica_reached_is_a_503_while_the_primary_is_away(fault: Fault) -> None:
    for number in (1, 2):
        await _pause(fault.stack, number)
    moving = fault.world.moving[0]
    token = (await fault.load.write(moving)).token
    assert token is not None
    cached = await fault.load.read(moving, headers={"Consistency-Token": token})
    assert (cached.status, cached.problem) == (200, None)
    other = fault.world.uncached[0]
    await fault.begin()
    await asyncio.to_thread(fault.stack.stop, "postgres", signal.SIGKILL)
    # What is in memory has reached it; what has to be asked of a replica has not.
    await asyncio.sleep(0.5)
    asked = await fault.load.get(other.path, headers={"Consistency-Token": token})
    assert (asked.status, asked.content_type) == (503, "application/problem+json")
    assert asked.retry_after
    without = await fault.load.read(other)
    assert (without.status, without.problem, "detail=unverified" in without.cache) == (200, None, True)
    await fault.last(1)
    for number in (1, 2):
        await _resume(fault.stack, number)
    await asyncio.to_thread(fault.stack.start, "postgres")
    await fault.recovered()
    again = await fault.load.read(other, headers={"Consistency-Token": token})
    assert (again.status, again.problem) == (200, None)


async def test_a_redis_node_killed(fault: Fault) -> None:
    await fault.begin()
    await asyncio.to_thread(fault.stack.stop, "redis", signal.SIGKILL)
    await fault.last(NOTICED_BY_REDIS_S + 3)
    # The others go on once they have noticed it, too.
    assert hit_rate(fault.load.reads_of(fault.began + NOTICED_BY_REDIS_S, fault.ended)) > 0
    await asyncio.to_thread(fault.stack.start, "redis")
    await fault.recovered()
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("a Redis node killed")


async def test_all_redis_nodes_killed(fault: Fault) -> None:
    await fault.begin()
    for index in range(3):
        await asyncio.to_thread(fault.stack.stop, "redis", signal.SIGKILL, index=index)
    await fault.last()
    await asyncio.to_thread(fault.stack.start, "redis")
    await fault.recovered()
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("all Redis nodes killed")


def _signal_redis(fault: Fault, number: signal.Signals, *indexes: int) -> None:
    for index in indexes:
        assert fault.stack.processes("redis")[index].signal(number)


async def test_a_redis_node_hanging(fault: Fault) -> None:
    await fault.begin()
    _signal_redis(fault, signal.SIGSTOP, 1)
    await fault.last()
    _signal_redis(fault, signal.SIGCONT, 1)
    await fault.recovered()
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("a Redis node hanging", p99_ms=SILENT_CACHE_MS)


@pytest.mark.ci
async def test_all_redis_nodes_hanging(fault: Fault) -> None:
    await fault.begin()
    _signal_redis(fault, signal.SIGSTOP, 0, 1, 2)
    reads = await fault.last()
    assert hit_rate([read for read in reads if read.started > fault.began + 2.5]) == 0
    assert not failed(reads)
    _signal_redis(fault, signal.SIGCONT, 0, 1, 2)
    await fault.recovered()
    assert all(write.status == 202 for write in fault.load.writes)
    await fault.judge("all Redis nodes hanging", p99_ms=SILENT_CACHE_MS)
