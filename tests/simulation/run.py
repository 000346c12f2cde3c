"""One run: writers, readers, sessions and faults for some seconds, then silence, in which caches have to be right."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final
from unittest.mock import patch

from app.core.errors import ProfileError
from app.core.models import Lookup
from storage.cache import fragments, id_lists, lookups, memory, notifications
from tests.simulation.database import Commit, Database, Server
from tests.simulation.loop import VirtualLoop
from tests.simulation.promises import (
    BrokenPromise,
    as_told,
    check_list,
    check_tree,
    expected,
    parsed,
    versions_of,
)
from tests.simulation.shared import NODES, Channel, SlowLevel, Subscription
from tests.simulation.worker import KEYSPACE, Cluster, Worker, changes_of

ENTITIES: Final = range(1, 9)
LATE: Final = frozenset({7, 8})  # created while others lead to them
PATHS: Final = ("g", "h", "h.value", "h.value.value", "g.value.value")
WORKERS: Final = 3
BUSY_S: Final = 8.0
QUIET_S: Final = 12.0


class Run:
    """Everything of one seed.

    In every third run nothing is repeated, no process crashes and none is killed: what committed reaches the caches by
    the writers alone, whatever else goes wrong.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.is_alone = seed % 3 == 2
        self.database = Database(self.random)
        level = SlowLevel(self.random)
        level.marks_are_slow = seed % 4 == 1
        self.servers = [Server(self.database, is_primary=number == 0) for number in range(3)]
        self.cluster = Cluster(
            self.database, level, Channel(self.random, level), self.servers[0], self.servers[1:]
        )
        self.answers = 0
        self._is_over = False
        self._old: list[Worker] = []
        self._writing: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Raises BrokenPromise."""
        for server in self.servers[1:]:
            server.replayed = self.database.flushed
        replays = [asyncio.create_task(server.replay()) for server in self.servers[1:]]
        for _ in range(WORKERS):
            self._begin(Worker(self.cluster))
        first: dict[int, tuple[int, ...] | None] = {e: self._edges(e) for e in ENTITIES if e not in LATE}
        await self.database.commit(first, is_lost=False)
        repeater = asyncio.create_task(asyncio.sleep(0) if self.is_alone else self._repeat())
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(2):
                    tasks.create_task(self._write())
                for _ in range(3):
                    tasks.create_task(self._session())
                for _ in range(2):
                    tasks.create_task(self._read())
                tasks.create_task(self._read_lists())
                tasks.create_task(self._break())
                tasks.create_task(self._end())
            await asyncio.sleep(QUIET_S)
            await self._check_quiet()
        finally:
            for task in (repeater, *replays):
                task.cancel()
            await asyncio.gather(repeater, *replays, *self._writing, return_exceptions=True)
            for worker in (*self.cluster.workers, *self._old):
                await worker.stop()

    def _begin(self, worker: Worker) -> None:
        self.cluster.workers.append(worker)
        worker.start()

    async def _end(self) -> None:
        await asyncio.sleep(BUSY_S)
        self._is_over = True

    def _edges(self, entity: int) -> tuple[int, ...]:
        """Some others, so that there are cycles and what several lead to."""
        return tuple(
            sorted(self.random.sample([e for e in ENTITIES if e != entity], self.random.randint(0, 3)))
        )

    def _worker(self) -> Worker:
        return self.random.choice(self.cluster.workers)

    # --- clients

    async def _write(self) -> None:
        while not self._is_over:
            # Where the writers are alone, what one of them left out must not be made good by the next one.
            await asyncio.sleep(self.random.expovariate(1.5 if self.is_alone else 12))
            changed: dict[int, tuple[int, ...] | None] = {}
            for entity in self.random.sample(list(ENTITIES), self.random.randint(1, 2)):
                is_new = not self.database.history.get(entity)
                changed[entity] = self._edges(entity) if is_new or self.random.random() < 0.6 else None
            chance = self.random.random()
            worker = self._worker()
            crashes = chance > 0.9 and not self.is_alone
            begun = asyncio.Event()
            writing = asyncio.create_task(
                worker.write(changed, is_lost=chance < 0.08, crashes=crashes, begun=begun)
            )
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
            if self.random.random() < (0.8 if self.is_alone else 0.1):
                await self._cancel(writing, begun)
            await asyncio.wait([writing])  # of which a cancellation of this very task is told apart
            if writing.cancelled():
                continue
            written = writing.result()
            if written is not None and self.random.random() < 0.5:
                await self._see_write(*written)

    async def _cancel(self, writing: asyncio.Task[Any], begun: asyncio.Event) -> None:
        """A request that ran out of time, or its client left: at any moment, or in the middle of its commit."""
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.expovariate(30))
        else:
            await begun.wait()
            await asyncio.sleep(self.random.expovariate(400))
        writing.cancel()

    async def _see_write(self, commit: Commit, token: int) -> None:
        for entity, version in commit.versions.items():
            tree = await self._tree(self._worker(), entity, token)
            if tree is not None and versions_of(tree)[entity] < version.number:
                raise BrokenPromise(f"a read with the token of version {version.number} of {entity} is older")

    async def _session(self) -> None:
        token, seen = 0, dict.fromkeys(ENTITIES, -1)
        while not self._is_over:
            await asyncio.sleep(self.random.expovariate(25))
            worker = self._worker()
            root = self.random.choice(list(ENTITIES))
            try:
                answer = await worker.reader.graph(root, depth=3, since=None, token=token)
            except ProfileError:
                continue
            if answer is None:
                if seen[root] >= 0:
                    raise BrokenPromise(f"a session saw version {seen[root]} of {root}, and then nothing")
                continue
            token = answer.upper
            for entity, number in versions_of(parsed(answer.body)).items():
                if number < seen[entity]:
                    raise BrokenPromise(
                        f"a session saw version {seen[entity]} of {entity}, and then {number}"
                    )
                seen[entity] = number

    async def _read(self) -> None:
        while not self._is_over:
            await asyncio.sleep(self.random.expovariate(40))
            await self._tree(self._worker(), self.random.choice(list(ENTITIES)), 0)

    async def _tree(self, worker: Worker, root: int, token: int) -> Any:
        """An answer that keeps what is promised of any; None where there is none."""
        required = worker.required()
        recalled = None if token else worker.reader.recall(root, depth=3, since=None)
        try:
            answer = recalled or await worker.reader.graph(root, depth=3, since=None, token=token)
        except ProfileError:
            return None
        if answer is None:
            return None
        self.answers += 1
        tree = parsed(answer.body)
        check_tree(self.database, tree, late=LATE)
        if answer.verified:
            for entity, number in versions_of(tree).items():
                least = required.number(KEYSPACE.fragment(entity).name, entity)
                if number < least:
                    raise BrokenPromise(
                        f"{entity} is shown as of version {number} ({answer.cache}), and {least} was notified of"
                    )
        return tree

    async def _read_lists(self) -> None:
        while not self._is_over:
            await asyncio.sleep(self.random.expovariate(20))
            await self._list(self._worker(), self.random.choice(PATHS), self.random.randrange(3))

    async def _list(self, worker: Worker, path: str, value: int) -> None:
        required = worker.required()
        try:
            answer = worker.reader.recall_by_property(
                path, str(value), depth=0, since=None, limit=50, after=0
            ) or await worker.reader.by_property(path, str(value), depth=0, since=None, limit=50, after=0)
        except ProfileError:
            return
        if not answer.verified:
            return
        field, *inner = path.split(".")
        name = Lookup(".".join([field, *(inner[1:] if inner[:1] == ["value"] else inner)]), str(value))
        key = KEYSPACE.lookup(name).name
        least = {entity: required.number(key, entity) for entity in self.database.history}
        check_list(self.database, [tree["id"] for tree in parsed(answer.body)], path, value, least)

    # --- what goes wrong, and what heals it

    async def _repeat(self) -> None:
        """As cdc.invalidation.repeater: every commit again, once it is visible, until a worker's caches took it."""
        done = 0
        while True:
            await asyncio.sleep(self.random.uniform(0.2, 1.0))
            batch = self.database.commits[done:]
            if not batch:
                continue
            while not all(commit.visible for commit in batch):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)
            worker = self.cluster.workers[0]
            changed = {entity: None for commit in batch for entity in commit.versions}
            await worker.pending.submit(changes_of(self.database, changed, self.database.flushed))
            while worker.pending.behind and worker is self.cluster.workers[0]:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)
            if worker is self.cluster.workers[0]:
                done += len(batch)

    async def _break(self) -> None:
        possible = [
            self._evict, self._evict, self._restart_nodes_often, self._lose_node, self._cut, self._kill,
            self._stop_server, self._stop_server, self._pause_replica, self._pause_replica,
        ]  # fmt: skip
        if self.cluster.level.marks_are_slow:
            possible += [self._pause_replicas, self._restart_nodes_often] * 4
        faults = [fault for fault in possible if not (self.is_alone and fault == self._kill)]
        while not self._is_over:
            await asyncio.sleep(self.random.expovariate(4))
            await self.random.choice(faults)()

    async def _evict(self) -> None:
        for _ in range(4):
            self.cluster.level.evict()

    async def _restart_node(self) -> None:
        self.cluster.level.restart(self.random.randrange(NODES))

    async def _lose_node(self) -> None:
        """It can't be reached for a while, and keeps what it has."""
        node = self.random.randrange(NODES)
        self.cluster.level.away.add(node)
        await asyncio.sleep(self.random.uniform(0.5, 1.0))
        self.cluster.level.away.discard(node)

    async def _restart_nodes_often(self) -> None:
        """Several times while fills are under way, so that marks are leased by several."""
        for _ in range(40):
            await self._restart_node()
            await asyncio.sleep(self.random.expovariate(100))

    async def _cut(self) -> None:
        """Messages to a worker are lost, for less time than it takes for silence, or more."""
        worker = self._worker()
        worker.is_cut = True
        await asyncio.sleep(self.random.uniform(0.01, 1.5))
        worker.is_cut = False

    async def _kill(self) -> None:
        """What it was about to tell nobody tells but the repeater."""
        killed = self.cluster.workers.pop(self.random.randrange(WORKERS))
        killed.is_cut = True
        self._old.append(killed)
        await killed.stop()
        self._begin(Worker(self.cluster))

    async def _stop_server(self) -> None:
        server = self.random.choice(self.servers)
        server.is_up = False
        await asyncio.sleep(self.random.uniform(0.1, 1.0))
        server.is_up = True

    async def _pause_replica(self) -> None:
        server = self.random.choice(self.servers[1:])
        server.is_paused = True
        await asyncio.sleep(self.random.uniform(0.1, 0.8))
        server.is_paused = False

    async def _pause_replicas(self) -> None:
        """All of them, at one position, while marks are missing."""
        for server in self.servers[1:]:
            server.is_paused = True
        await self._restart_node()
        await asyncio.sleep(self.random.uniform(0.1, 0.6))
        for server in self.servers[1:]:
            server.is_paused = False

    # --- the end

    async def _check_quiet(self) -> None:
        for worker in self.cluster.workers:
            for _ in range(2):
                for root in ENTITIES:
                    for answer in (
                        worker.reader.recall(root, depth=3, since=None),
                        await worker.reader.graph(root, depth=3, since=None),
                    ):
                        if answer is not None and as_told(parsed(answer.body)) != expected(
                            self.database, root
                        ):
                            raise BrokenPromise(f"all is quiet, and the tree of {root} is old")
            latest = {entity: len(self.database.versions(entity)) - 1 for entity in self.database.history}
            for path in PATHS:
                for value in range(3):
                    answer = await worker.reader.by_property(
                        path, str(value), depth=0, since=None, limit=50, after=0
                    )
                    listed = [tree["id"] for tree in parsed(answer.body)]
                    check_list(self.database, listed, path, value, latest)
        self._check_redis()

    def _check_redis(self) -> None:
        for name, slot in self.cluster.level.level.slots.items():
            key = KEYSPACE.parse(name)
            if slot.entry is None or key is None:
                continue
            if isinstance(key.local, int):
                fragment = fragments.decode(slot.entry)
                latest = self.database.latest(key.local)
                assert fragment is not None
                if latest is None or b'{"f": {"value": %d}' % latest.number not in fragment.head:
                    raise BrokenPromise(f"all is quiet, and Redis has an old {key.local}")
            else:
                entry = id_lists.decode(slot.entry)
                assert entry is not None
                own = lookups.canonical_value(entry.asked)
                assert own is not None
                if KEYSPACE.lookup(Lookup(entry.within, own)) != key:
                    raise BrokenPromise(f"Redis has the list of {entry.within} under another one's key")


@contextmanager
def _in_memory() -> Iterator[None]:
    """Entries that are read again every few seconds, and a channel without sockets."""
    kept = memory.LIFETIME_S, memory.AGING_S
    memory.LIFETIME_S, memory.AGING_S = 2.0, 1.0  # type: ignore[misc]
    try:
        with patch.object(notifications, "Subscription", Subscription):
            yield
    finally:
        memory.LIFETIME_S, memory.AGING_S = kept  # type: ignore[misc]


def simulate(seed: int) -> tuple[int, str | None]:
    """How many trees were read, and the promise that was broken."""
    made = Run(seed)
    try:
        with _in_memory(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(made.run())
    except BrokenPromise as broken:
        return made.answers, str(broken)
    except BaseExceptionGroup as group:
        broken_ones, others = group.split(BrokenPromise)
        if others is not None or broken_ones is None:
            raise
        return made.answers, str(_first(broken_ones))
    return made.answers, None


def _first(group: BaseExceptionGroup) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
