"""A primary and a replica whose transactions stop where a test says: the simulation's, and real ones.

Entities 1, 2, … stand with `f` 0; each transaction adds one to those that it changes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Protocol

import asyncpg

from app.config.settings import Settings
from storage.postgres.positioned import Ask, Reached, T, moment, position
from storage.read import graph_queries
from storage.read.budget import Budget
from tests.integration.storage.test_freshness import Replicas
from tests.simulation.database import Commit, Database, Server

ENTITIES = range(1, 5)
PATIENCE_S = 30.0


class Change(Protocol):
    """One transaction. It has changed its entities, and locked them, when it is begun."""

    async def flush(self) -> None:
        """Send COMMIT; return when the commit is on disk. The primary does not show it."""

    async def release(self) -> int:
        """Have the primary show it, and answer its client: a position that was read after the answer."""

    async def cancel(self) -> None:
        """Cancel its client."""

    async def lose(self) -> None:
        """Break its client's connection, after COMMIT was sent."""

    @property
    def is_done(self) -> bool:
        """Whether its client has an answer, or knows that it gets none."""


class Servers(Protocol):
    """What both sides can do."""

    primary: Any  # pools, as storage.postgres.replicas asks them
    replica: Any

    async def begin(self, *entities: int) -> Change: ...

    async def queue(self, *entities: int) -> Change:
        """A transaction that another one keeps from its locks."""

    async def pause(self) -> None:
        """The replica replays nothing more, until `resume`."""

    async def resume(self) -> None: ...


# --- questions, as the service asks them


async def asked(pool: Any, ask: Ask[T], least: int = 0) -> Reached[T] | None:
    async with pool.acquire(timeout=PATIENCE_S) as connection:
        return await ask(connection, least)


async def shown(pool: Any, entities: Sequence[int] = (1,), least: int = 0) -> tuple[int, ...] | None:
    """`f` of entities, in one read; None where the server has not reached `least`."""
    found = await asked(pool, graph_queries.graph(list(entities), levels=0, budget=Budget(nodes=100)), least)
    if found is None:
        return None
    rows = {row["id"]: json.loads(row["properties"])["f"]["value"] for row in found.result.rows}
    return tuple(rows[entity] for entity in entities)


async def position_of(pool: Any) -> int:
    async with pool.acquire(timeout=PATIENCE_S) as connection:
        return await position(connection)


async def moment_of(pool: Any) -> Any:
    async with pool.acquire(timeout=PATIENCE_S) as connection:
        return await moment(connection)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - servers tell of none
            await asyncio.sleep(0.005)


# --- the simulation's


class _SteppedDatabase(Database):
    """Its transactions wait for a test at each step; `stops` is the step of the one that begins next."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.by_task: dict[asyncio.Task[Any], _StandInChange] = {}
        self.by_commit: dict[int, _StandInChange] = {}

    async def works(self) -> None:
        task = asyncio.current_task()
        change = self.by_task.get(task) if task else None
        if change is None:
            return
        change.has_begun.set()
        await change.may_flush.wait()

    async def held(self, made: Commit) -> None:
        for change in self.by_task.values():
            if (
                change.may_flush.is_set()
                and not change.is_flushed.is_set()
                and set(made.versions) == change.entities
            ):
                change.is_flushed.set()
                await change.may_show.wait()
                return


class _StandInChange:
    def __init__(self, database: _SteppedDatabase, entities: Sequence[int]) -> None:
        self.entities = set(entities)
        self.has_begun, self.may_flush = asyncio.Event(), asyncio.Event()
        self.is_flushed, self.may_show = asyncio.Event(), asyncio.Event()
        self._database = database
        self._is_lost = False
        self._task = asyncio.create_task(self._commit())
        database.by_task[self._task] = self

    async def _commit(self) -> int:
        _, at = await self._database.commit(dict.fromkeys(self.entities), is_lost=False)
        return at

    async def flush(self) -> None:
        self.may_flush.set()
        await asyncio.wait_for(self.is_flushed.wait(), PATIENCE_S)

    async def release(self) -> int:
        self.may_flush.set()
        self.may_show.set()
        return await asyncio.wait_for(self._task, PATIENCE_S)

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task], timeout=PATIENCE_S)
        self.may_show.set()  # as a server that is told that its client waits for a standby no longer

    async def lose(self) -> None:
        await self.cancel()

    @property
    def is_done(self) -> bool:
        return self._task.done()


class StandIn:
    """Implements Servers with tests.simulation.database."""

    def __init__(self) -> None:
        self._database = _SteppedDatabase(Random(1))
        self.primary = Server(self._database, is_primary=True)
        self.replica = Server(self._database, is_primary=False)

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator["StandIn"]:
        made = cls()
        replaying = asyncio.create_task(made.replica.replay())
        await made._database.commit(dict.fromkeys(ENTITIES), is_lost=False)
        made.replica.replayed = made._database.flushed
        yield made
        replaying.cancel()
        with suppress(asyncio.CancelledError):
            await replaying

    async def begin(self, *entities: int) -> Change:
        change = await self.queue(*entities)
        assert isinstance(change, _StandInChange)
        await asyncio.wait_for(change.has_begun.wait(), PATIENCE_S)
        return change

    async def queue(self, *entities: int) -> Change:
        change = _StandInChange(self._database, entities)
        await asyncio.sleep(0.02)
        return change

    async def pause(self) -> None:
        self.replica.is_paused = True

    async def resume(self) -> None:
        self.replica.is_paused = False


# --- PostgreSQL


_PROPERTIES = '{"f": {"value": 0, "reference_date": "2024-01-01T00:00:00.000000Z"}}'
_CHANGE = """
    UPDATE entities SET properties = jsonb_set(properties, '{f,value}', to_jsonb((properties #>> '{f,value}')::int + 1))
    WHERE id = ANY ($1::bigint[])
"""


class _RealChange:
    """COMMIT waits for a standby that does not exist, and is shown when it is told to wait no longer."""

    def __init__(self, connection: Any, admin: Any, entities: Sequence[int]) -> None:
        self.connection = connection
        self._admin = admin
        self._pid = connection.get_server_pid()
        self.updating = asyncio.create_task(self._update(entities))
        self._committing: asyncio.Task[Any] | None = None

    async def _update(self, entities: Sequence[int]) -> None:
        await self.connection.execute("SET synchronous_commit = on")
        await self.connection.execute("BEGIN")
        await self.connection.execute(_CHANGE, list(entities))

    async def flush(self) -> None:
        await asyncio.wait_for(self.updating, PATIENCE_S)
        self._committing = asyncio.create_task(self.connection.execute("COMMIT"))
        await until(self._is_held)

    async def _is_held(self) -> bool:
        held: bool = await self._admin.fetchval(
            "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1", self._pid
        )
        return held

    async def release(self) -> int:
        if self._committing is None:
            await self.flush()
        assert self._committing is not None
        # It is committed already, and says so with a warning.
        await self._admin.execute("SELECT pg_cancel_backend($1)", self._pid)
        await asyncio.wait_for(self._committing, PATIENCE_S)
        return await position(self._admin)

    async def cancel(self) -> None:
        running = self._committing or self.updating
        running.cancel()
        await asyncio.wait([running], timeout=PATIENCE_S)
        if self._committing is None:
            await asyncio.wait_for(self.connection.reset(), PATIENCE_S)

    async def lose(self) -> None:
        await self._admin.execute("SELECT pg_terminate_backend($1)", self._pid)
        assert self._committing is not None
        await asyncio.wait([self._committing], timeout=PATIENCE_S)
        assert self._committing.exception() is not None

    @property
    def is_done(self) -> bool:
        return self._committing is not None and self._committing.done()

    async def close(self) -> None:
        for task in (self.updating, self._committing):
            if task is not None:
                task.cancel()
        await asyncio.gather(self.updating, return_exceptions=True)
        self.connection.terminate()


class Postgres:
    """Implements Servers with a real primary and one of its replicas."""

    def __init__(
        self, settings: Settings, primary: Any, replica: Any, admin: Any, replicas: Replicas
    ) -> None:
        self.primary, self.replica = primary, replica
        self._settings, self._admin, self._replicas = settings, admin, replicas
        self._paused: Any = None
        self._changes: list[_RealChange] = []

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings, replicas: Replicas) -> AsyncIterator["Postgres"]:
        dsn = settings.postgres_dsn.get_secret_value()
        admin = await asyncpg.connect(dsn)
        await admin.execute("SET synchronous_commit = local")
        await admin.executemany(
            "INSERT INTO entities (id, type, reference, properties) OVERRIDING SYSTEM VALUE "
            "VALUES ($1::bigint, 'user', 'r' || $1::bigint, $2)",
            [(entity, _PROPERTIES) for entity in ENTITIES],
        )
        await replicas.reach(await position(admin))
        primary = await asyncpg.create_pool(dsn, min_size=1, max_size=4)
        replica = await asyncpg.create_pool(
            settings.postgres_replica_dsns[0].get_secret_value(), min_size=1, max_size=4
        )
        made = cls(settings, primary, replica, admin, replicas)
        for statement in (
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            "ALTER SYSTEM SET synchronous_commit = local",
            "SELECT pg_reload_conf()",
        ):
            await admin.execute(statement)
        try:
            await until(made._holds_commits)
            yield made
        finally:
            for statement in (
                "ALTER SYSTEM RESET synchronous_standby_names",
                "ALTER SYSTEM RESET synchronous_commit",
                "SELECT pg_reload_conf()",
            ):
                await admin.execute(statement)
            await made.resume()
            for change in made._changes:
                await change.close()
            await primary.close()
            await replica.close()
            await admin.close()

    async def _holds_commits(self) -> bool:
        is_set: bool = await self._admin.fetchval(
            "SELECT current_setting('synchronous_standby_names') = 'nobody'"
        )
        return is_set

    async def begin(self, *entities: int) -> Change:
        change = await self._new(entities)
        await asyncio.wait_for(change.updating, PATIENCE_S)
        return change

    async def queue(self, *entities: int) -> Change:
        change = await self._new(entities)

        async def is_waiting() -> bool:
            waits: bool = await self._admin.fetchval(
                "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1",
                change.connection.get_server_pid(),
            )
            return waits

        await until(is_waiting)
        return change

    async def _new(self, entities: Sequence[int]) -> _RealChange:
        connection = await asyncpg.connect(self._settings.postgres_dsn.get_secret_value())
        change = _RealChange(connection, self._admin, entities)
        self._changes.append(change)
        return change

    async def pause(self) -> None:
        self._paused = self._replicas.paused()
        await self._paused.__aenter__()

    async def resume(self) -> None:
        if self._paused is not None:
            paused, self._paused = self._paused, None
            await paused.__aexit__(None, None, None)
