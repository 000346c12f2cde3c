"""Two workers on PostgreSQL and Redis, their replicas and their messages late, lost or out of order.

Rules by their numbers: design, section 5, "Freshness".
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.models import Batch, Changes
from app.ports.graph import Answer
from infra.locking import file_lock
from infra.settings import InfraSettings
from storage.cache.invalidation import PendingInvalidations
from storage.cache.keyspace import CacheKey
from storage.cache.notifications import Notifications
from storage.stores import Stores
from tests.rows import edge, prop, user

pytestmark = pytest.mark.integration

NOTIFIED_S = 10.0  # a message takes milliseconds; the machine may be busy


@dataclass
class Worker:
    """One process of the service; `asked_redis` counts its reads that its memory could not answer."""

    stores: Stores
    asked_redis: int = 0

    async def writes(self, value: int, reference: str = "a") -> Changes:
        return await self.stores.writer.write(Batch(properties=[prop(reference, "f", str(value), value)]))

    async def answers(self, token: int = 0) -> Answer:
        answer = await self.stores.reader.by_reference(user("a"), depth=2, since=None, token=token)
        assert answer is not None
        return answer

    async def reads(self, token: int = 0) -> int:
        return value_of(await self.answers(token))

    async def remembers(self, value: int) -> None:
        """Return when its memory alone answers with this value."""
        for _ in range(200):
            before = self.asked_redis
            if await self.reads() == value and self.asked_redis == before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("Memory was not used within 2 s.")

    async def hears_of(self, value: int) -> float:
        """Seconds from now until it answers with this value."""
        began_at = time.monotonic()
        while (waited_s := time.monotonic() - began_at) < NOTIFIED_S:
            if await self.reads() == value:
                return waited_s
            await asyncio.sleep(0.001)
        raise AssertionError(f"It was not heard of within {NOTIFIED_S} s.")

    def forgets(self) -> None:
        self.stores.invalidator._memory.forget()


def value_of(answer: Answer) -> int:
    assert answer.body is not None
    value: int = json.loads(answer.body)["properties"]["f"]["value"]
    return value


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    stores = await Stores.open(settings)
    made = Worker(stores)
    get = stores.cache.get

    async def counted(keys: Sequence[CacheKey]) -> list[bytes | None]:
        made.asked_redis += 1
        return await get(keys)

    stores.cache.get = counted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        await stores.close()


@pytest.fixture
async def workers(settings: Settings) -> AsyncIterator[tuple[Worker, Worker]]:
    async with worker(settings) as one, worker(settings) as other:
        await one.writes(1)
        yield one, other


class Replicas:
    """Both replicas. They are shared with other tests, so they stand still for a moment only."""

    def __init__(self, connections: "list[asyncpg.Connection[asyncpg.Record]]") -> None:
        self._connections = connections

    async def reach(self, position: int) -> None:
        """Return when both have replayed as far."""
        await self._come_to("wal_position() >= $1::bigint", position)

    async def _come_to(self, condition: str, *arguments: object) -> None:
        for connection in self._connections:
            for _ in range(1_000):
                if await connection.fetchval(f"SELECT {condition}", *arguments):
                    break
                await asyncio.sleep(0.005)
            else:
                raise AssertionError(f"A replica did not come to {condition} within 5 s.")

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is replayed within."""
        try:
            for connection in self._connections:
                await connection.execute("SELECT pg_wal_replay_pause()")
            await self._come_to("pg_get_wal_replay_pause_state() = 'paused'")
            async with asyncio.timeout(30):
                yield
        finally:
            for connection in self._connections:
                await connection.execute("SELECT pg_wal_replay_resume()")


@pytest.fixture
async def replicas(settings: Settings, postgres_stack: InfraSettings) -> AsyncIterator[Replicas]:
    # Another session of tests would resume what this one pauses.
    lock = file_lock(postgres_stack.data_root / f"stack-{postgres_stack.port_offset}.replay.lock")
    await asyncio.to_thread(lock.__enter__)
    try:
        # A login of workers may not pause replay.
        database = urlsplit(settings.postgres_dsn.get_secret_value()).path.removeprefix("/")
        connections = [
            await asyncpg.connect(postgres_stack.postgres_dsn(node, database=database)) for node in (1, 2)
        ]
        yield Replicas(connections)
        for connection in connections:
            await connection.close()
    finally:
        lock.__exit__(None, None, None)


@contextmanager
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commits within tell nobody, as by a worker that is killed after each."""

    async def submit(_: PendingInvalidations, changes: Changes) -> None:
        assert changes

    with monkeypatch.context() as patched:
        patched.setattr(PendingInvalidations, "submit", submit)
        yield


async def no_message(_: Notifications, keys: Sequence[CacheKey]) -> list[CacheKey]:
    return []


async def test_a_write_shows_in_the_memory_of_another_worker(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    delays = []
    for value in range(2, 12):
        await other.remembers(value - 1)
        await one.writes(value)
        delays.append(await other.hears_of(value))
        assert await one.reads() == value
    assert max(delays) < NOTIFIED_S


async def test_the_positions_of_a_read_are_from_before_and_after_its_data(
    workers: tuple[Worker, Worker], settings: Settings, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Rules 1 and 8: a lock holds the read up between its first position and its data."""
    entity_id = await db.fetchval("SELECT id FROM entities")
    reader, holder = [await asyncpg.connect(settings.postgres_dsn.get_secret_value()) for _ in range(2)]
    lock = holder.transaction()
    await lock.start()
    await holder.execute("LOCK TABLE temporal_properties IN ACCESS EXCLUSIVE MODE")
    reading = asyncio.create_task(
        reader.fetch("SELECT * FROM read_graph(ARRAY[$1::bigint], 0, 9, 9, 0)", entity_id)
    )
    for _ in range(500):
        if await db.fetchval(
            "SELECT true FROM pg_locks WHERE pid = $1 AND NOT granted", reader.get_server_pid()
        ):
            break
        await asyncio.sleep(0.01)
    await db.execute("UPDATE entities SET properties = '{\"f\": 2}'")
    committed = await db.fetchval("SELECT wal_position()")
    await lock.rollback()
    row, positions = await reading
    assert row["properties"] == '{"f": 2}'
    assert positions["before"] < committed <= positions["after"]
    await reader.close()
    await holder.close()


async def test_a_look_up_shows_in_the_memory_of_another_worker(workers: tuple[Worker, Worker]) -> None:
    one, other = workers

    async def found(value: int) -> list[str]:
        answer = await other.stores.reader.by_property("f", str(value), depth=1, since=None, limit=9, after=0)
        assert answer.body is not None
        return [tree["reference"] for tree in json.loads(answer.body)]

    await other.remembers(1)
    assert [await found(1), await found(2)] == [["a"], []]
    await one.writes(2)
    async with asyncio.timeout(NOTIFIED_S):
        while await found(1):  # noqa: ASYNC110 - the message tells the memory alone
            await asyncio.sleep(0.01)
    assert [await found(1), await found(2)] == [[], ["a"]]


async def test_replicas_that_stand_still_answer_nothing_old(
    workers: tuple[Worker, Worker], replicas: Replicas
) -> None:
    one, other = workers
    for each in workers:
        await each.remembers(1)
    async with replicas.paused():
        written = await one.writes(2)
        assert [await one.reads(), await other.reads(written.position)] == [2, 2]
        # Neither memory nor Redis helps: rule 4 asks the primary.
        assert await one.stores.cache.drop_all()
        for each in workers:
            each.forgets()
            assert await each.reads() == 2
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        await one.stores.cache.drop_all()
        for each in workers:
            each.forgets()
            assert await each.reads() == 2


async def test_below_a_root_that_a_replica_may_answer_nothing_old_is_kept(
    workers: tuple[Worker, Worker], replicas: Replicas
) -> None:
    one, other = workers

    async def below() -> int:
        answer = await other.stores.reader.graph(ids["a"], depth=2, since=None)
        assert answer is not None
        assert answer.body is not None
        value: int = json.loads(answer.body)["edges"][0]["entity"]["properties"]["f"]["value"]
        return value

    linked = await one.stores.writer.write(Batch(edges=[edge("a", "b")], properties=[prop("b", "f", "1")]))
    directory = await one.stores.directory.keys_of(list(linked.entities))
    ids = {key.reference: entity_id for entity_id, key in directory.items()}
    assert await below() == 1  # each group has a mark now
    await replicas.reach(await one.stores.position() or 0)
    await other.stores.cache.invalidate([_fragment(other, entity_id) for entity_id in ids.values()], 1)
    async with replicas.paused():
        await one.writes(2, "b")
        other.forgets()
        assert await below() == 2
    for _ in range(3):
        other.forgets()
        assert await below() == 2


def _fragment(of: Worker, entity_id: int) -> CacheKey:
    return of.stores.invalidator._keyspace.fragment(entity_id)


async def test_commits_told_in_reverse_around_an_emptied_redis_leave_nothing_old(
    workers: tuple[Worker, Worker], replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    with untold(monkeypatch):
        first = await one.writes(2)
        await replicas.reach(first.position)
        async with replicas.paused():
            second = await one.writes(3)
            assert await one.stores.invalidator.invalidate(second)
            assert await one.stores.cache.drop_all()
            assert await one.stores.invalidator.invalidate(first)
            # A mark that the late message had made would let the replicas answer.
            for each in (other, one):
                assert await each.reads() == 3
    for _ in range(5):
        for each in workers:
            assert await each.reads() == 3
            each.forgets()


async def test_a_token_sees_its_write_though_nobody_was_told(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    await other.remembers(1)
    monkeypatch.setattr(Notifications, "publish", no_message)
    written = await one.writes(2)
    assert await other.reads() == 1, "its memory was to be old"
    answer = await other.answers(written.position)
    assert value_of(answer) == 2
    assert answer.upper >= written.position


async def test_a_session_over_two_workers_never_goes_back(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    await other.remembers(1)
    monkeypatch.setattr(Notifications, "publish", no_message)
    done = asyncio.Event()

    async def write() -> None:
        for value in range(2, 40):
            await (one, other)[value % 2].writes(value)
            await asyncio.sleep(0.01)
        done.set()

    writing = asyncio.create_task(write())
    seen, upper, reads, old = 0, 0, 0, 0
    while not done.is_set() or reads < 20:
        for each in workers:
            old += await each.reads() < seen
            answer = await each.answers(upper)
            assert value_of(answer) >= seen
            assert answer.upper >= upper
            seen, upper = value_of(answer), answer.upper
            reads += 1
            await asyncio.sleep(0)
    await writing
    assert seen == 39
    assert old, "without tokens a session would have gone back"


async def test_what_a_killed_worker_told_nobody_cdc_repeats(
    workers: tuple[Worker, Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    for each in workers:
        await each.remembers(1)
    with untold(monkeypatch):
        changes = await one.writes(2)
    assert [await one.reads(), await other.reads()] == [1, 1], "both were to be old"
    other.forgets()
    assert await other.reads() == 1, "so was Redis"
    position = await one.stores.position()
    assert position is not None
    repeated = Changes(
        position=position, entities=changes.entities, keys=changes.keys, lookups=changes.lookups
    )
    assert await one.stores.invalidator.invalidate(repeated)
    assert await one.reads() == 2
    assert await other.hears_of(2) < NOTIFIED_S
