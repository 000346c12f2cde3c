"""One primary and its replicas in memory: what is committed, where, and who shows it by now."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from app.core.errors import TransientError
from storage.postgres.queries import query

STEP = 8  # positions are multiples of it
_NO_SERIES = dict.fromkeys(("keys", "granularities", "dates", "points"))


class Version(NamedTuple):
    """What a commit left of an entity; numbers grow by one."""

    number: int
    edges: tuple[int, ...]

    def properties(self, entity: int) -> dict[str, Any]:
        """`f` is the number, `g` a number of few, and `h` an object whose own `value` is that, or it plainly."""
        few = (self.number + entity) % 3
        nested = {"value": few, "unit": "x"} if (self.number // 2 + entity) % 2 else few
        return {"f": self.number, "g": few, "h": nested}


@dataclass(eq=False, slots=True)
class Commit:
    versions: dict[int, Version]
    position: int = 0
    visible: bool = False


@dataclass
class Database:
    random: Random
    flushed: int = STEP
    next_xid: int = 1
    running: dict[int, Commit] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)  # in the order of the WAL
    history: dict[int, list[tuple[Commit, Version]]] = field(default_factory=dict)
    longest_hold_s: float = 0.4

    def __post_init__(self) -> None:
        self._locks: dict[int, asyncio.Lock] = {}

    def versions(self, entity: int) -> list[Version]:
        return [version for _, version in self.history.get(entity, ())]

    def shown(self, entity: int, sees: Callable[[Commit], bool]) -> Version | None:
        """The newest version that a server shows."""
        found = [version for commit, version in self.history.get(entity, ()) if sees(commit)]
        return found[-1] if found else None

    def latest(self, entity: int) -> Version | None:
        return self.shown(entity, lambda commit: commit.visible)

    async def commit(
        self,
        edges: dict[int, tuple[int, ...] | None],
        *,
        is_lost: bool,
        begins: Callable[[], None] = lambda: None,
    ) -> tuple[Commit, int]:
        """Make new versions (edges None: as before); the commit, and a position that was read after it returned.

        Flushed first, visible later. Where the answer is lost it raises TransientError at some time after the flush.
        Who is cancelled before `begins` was called has changed nothing; afterwards the server commits all the same.
        """
        async with AsyncExitStack() as stack:
            for entity in sorted(edges):
                await stack.enter_async_context(self._locks.setdefault(entity, asyncio.Lock()))
            made = Commit({})
            xid, self.next_xid = self.next_xid, self.next_xid + 1
            self.running[xid] = made
            try:
                await self.works()
            except asyncio.CancelledError:
                del self.running[xid]
                raise
            begins()
            committing = asyncio.create_task(self._commit(xid, edges, stack.pop_all()))
        await asyncio.shield(committing)
        if is_lost:
            raise TransientError("The answer was lost.")
        await asyncio.sleep(self.random.expovariate(300))
        return made, self.flushed

    async def _commit(
        self, xid: int, edges: dict[int, tuple[int, ...] | None], locks: AsyncExitStack
    ) -> None:
        """The server's part, which ends however its client fares."""
        made = self.running[xid]
        async with locks:
            self.flushed += STEP * self.random.randint(1, 3)
            for entity, targets in edges.items():
                before = self.history.setdefault(entity, [])
                old = before[-1][1] if before else Version(-1, ())
                version = Version(old.number + 1, old.edges if targets is None else targets)
                made.versions[entity] = version
                before.append((made, version))
            made.position = self.flushed
            self.commits.append(made)
            await self.held(made)
            made.visible = True
            del self.running[xid]

    async def works(self) -> None:
        """From the first lock until COMMIT is sent."""
        await asyncio.sleep(self.random.expovariate(50))

    async def held(self, made: Commit) -> None:
        """From the flush until it is visible: next to nothing as a rule."""
        is_long = self.random.random() < 0.15
        hold_s = self.random.uniform(0, self.longest_hold_s) if is_long else self.random.expovariate(2_000)
        await asyncio.sleep(hold_s)


class Server:
    """A pool and its connections in one."""

    def __init__(self, database: Database, *, is_primary: bool) -> None:
        self._database = database
        self._is_primary = is_primary
        self.replayed = database.flushed
        self.is_up = True
        self.is_paused = False

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator["Server"]:  # noqa: ASYNC109 - asyncpg's signature
        await self._later()
        yield self

    def get_size(self) -> int:
        return 1

    def get_max_size(self) -> int:
        return 8

    def terminate(self) -> None:
        pass

    async def replay(self) -> None:
        """Follow the primary until cancelled, at random."""
        while True:
            await asyncio.sleep(self._database.random.expovariate(40))
            if not self.is_paused:
                behind = self._database.random.choice((0, 0, 0, 1, 2))
                positions = [commit.position for commit in self._database.commits] or [STEP]
                self.replayed = max(self.replayed, positions[max(0, len(positions) - 1 - behind)])
                if not behind:
                    self.replayed = max(self.replayed, self._database.flushed)

    async def _later(self) -> None:
        await asyncio.sleep(self._database.random.expovariate(1_500))
        if not self.is_up:
            raise ConnectionRefusedError(111, "refused")

    def _position(self) -> int:
        return self._database.flushed if self._is_primary else self.replayed

    def sees(self, commit: Commit) -> bool:
        return commit.visible if self._is_primary else commit.position <= self.replayed

    def _moment(self) -> tuple[int, int]:
        return min(self._database.running, default=self._database.next_xid), self._database.next_xid

    async def fetchval(self, text: str) -> int:
        assert text == query("wal_position")
        await self._later()
        return self._position()

    async def fetchrow(self, text: str) -> dict[str, int]:
        assert text == query("wal_moment")
        reached = self._position()
        await self._later()
        oldest, newest = self._moment()
        return {"reached": reached, "oldest": oldest, "newest": newest}

    async def fetch(self, text: str, *arguments: Any) -> list[dict[str, Any]]:
        await self._later()
        if text == query("ids_by_property"):
            return self._ids(*arguments)
        assert text == query("graph")
        return await self._graph(*arguments)

    def _ids(self, *arguments: Any) -> list[dict[str, Any]]:
        _, path, _, as_string, as_literal, after, limit = arguments
        wanted = (json.loads(as_string), json.loads(as_literal))
        found = []
        for entity in sorted(self._database.history):
            version = self._database.shown(entity, self.sees)
            if version is not None and entity > after and leaf(version.properties(entity), path) in wanted:
                found.append({"id": entity})
        return found[:limit]

    async def _graph(self, *arguments: Any) -> list[dict[str, Any]]:
        roots, levels, _, _, least, _, _ = arguments
        before = self._position()
        if before < least:
            return [{"before": before, "after": None}]
        await self._later()
        oldest, newest = self._moment()
        await self._later()
        nodes = list(roots)
        for _ in range(levels):
            for node in list(nodes):
                version = self._database.shown(node, self.sees)
                nodes += version.edges if version else ()
        rows = [self._row(node) for node in dict.fromkeys(nodes) if self._database.shown(node, self.sees)]
        await self._later()
        after = self._position()
        await self._later()
        return [
            *rows,
            {"before": before, "after": after, "id": oldest, "edges_total": newest, "targets": None},
        ]

    def _row(self, entity: int) -> dict[str, Any]:
        version = self._database.shown(entity, self.sees)
        assert version is not None
        properties = {name: {"value": value} for name, value in version.properties(entity).items()}
        return {
            "id": entity,
            "type": "user",
            "reference": f"r{entity}",
            "properties": json.dumps(properties),
            "created_at": "",
            "updated_at": "",
            "types": ["knows"] * len(version.edges),
            "targets": sorted(version.edges),
            "edges_total": len(version.edges),
            "points_total": None,
            **_NO_SERIES,
        }


def leaf(properties: dict[str, Any], path: list[str]) -> Any:
    """What stands at a path of stored properties, whose second segment is the storage's `value`."""
    found: Any = {name: {"value": value} for name, value in properties.items()}
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
