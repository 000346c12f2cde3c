"""A primary, a replica, Redis and this process' memory, all without a server, around the loaders of the read path."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.core.errors import TransientError
from app.core.models import Changes, EntityKey
from storage.cache import fragments, id_lists
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.invalidation import CacheInvalidator, PendingInvalidations
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.memory import MemoryCache
from storage.postgres.positioned import Ask, Reached
from storage.postgres.queries import query
from storage.postgres.replicas import Read
from storage.read.budget import Budget
from storage.read.fragment_loader import FragmentLoader
from storage.read.graph_queries import id_of
from storage.read.id_list_loader import ListLoader, ListQuestion
from storage.read.outcome import Reading
from tests.unit.storage.fakes import ManualClock, MemoryLevel, nothing

T = TypeVar("T")

KEYSPACE = Keyspace("up:1.1.1")
KEY = EntityKey("user", "a")
_SERIES = dict.fromkeys(("keys", "granularities", "dates", "points"))


class Server:
    """Shows the histories up to its position. Entities are numbers with an integer and edges."""

    def __init__(
        self, history: dict[int, list[tuple[int, int]]], edges: dict[int, list[tuple[int, list[int]]]]
    ) -> None:
        self.position = 0
        self.properties: dict[int, dict[str, Any]] = {}
        self._history = history
        self._edges = edges

    def _value(self, entity_id: int) -> int | None:
        seen = [value for position, value in self._history.get(entity_id, ()) if position <= self.position]
        return seen[-1] if seen else None

    def _property(self, entity_id: int, path: list[str]) -> Any:
        """What stands at a path of `{field: {"value": …}}`: `f` is the integer, others are in `properties`."""
        value = self._value(entity_id)
        found: Any = {} if value is None else {"f": {"value": value}}
        found |= {name: {"value": each} for name, each in self.properties.get(entity_id, {}).items()}
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def _targets(self, entity_id: int) -> list[int]:
        seen = [targets for position, targets in self._edges.get(entity_id, ()) if position <= self.position]
        return seen[-1] if seen else []

    async def fetchval(self, text: str) -> int:
        assert text == query("wal_position")
        return self.position

    async def fetchrow(self, text: str) -> dict[str, int]:
        assert text == query("wal_moment")
        return {"reached": self.position, "oldest": 1, "newest": 1}

    async def fetch(self, text: str, *arguments: Any) -> list[dict[str, Any]]:
        if text == query("id_by_key"):
            assert arguments == KEY
            value = self._value(0)
            return [] if value is None else [{"id": value}]
        if text == query("ids_by_property"):
            _, path, _, as_string, as_literal, after, limit = arguments
            wanted = (json.loads(as_string), json.loads(as_literal))
            found = [i for i in sorted(self._history) if i > after and self._property(i, path) in wanted]
            return [{"id": entity_id} for entity_id in found[:limit]]
        assert text == query("graph")
        roots, levels, _, _, least, _, _ = arguments
        last = {"before": self.position, "after": None if self.position < least else self.position + 1}
        last |= {"id": 1, "edges_total": 1, "targets": None}
        if last["after"] is None:
            return [last]
        nodes = list(roots)
        for _ in range(levels):
            nodes += [target for node in list(nodes) for target in self._targets(node)]
        return [*(self._row(node) for node in dict.fromkeys(nodes) if self._value(node) is not None), last]

    def _row(self, entity_id: int) -> dict[str, Any]:
        targets = self._targets(entity_id)
        return {
            "id": entity_id,
            "type": "user",
            "reference": f"r{entity_id}",
            "properties": f'{{"f":{self._value(entity_id)}}}',
            "created_at": "",
            "updated_at": "",
            "types": ["knows"] * len(targets),
            "targets": targets,
            "edges_total": len(targets),
            "points_total": None,
            **_SERIES,
        }


@dataclass(slots=True, kw_only=True)
class Asked:
    """One read: what it had to reach, and who answered."""

    reach: int | None
    token: int
    on_primary: bool


@dataclass
class FakeSource:
    """A ReadSource of one primary and one replica. `after_read` is awaited between the snapshot and the answer."""

    primary: Server
    replica: Server
    primary_is_up: bool = True
    asked: list[Asked] = field(default_factory=list)
    positions_asked: int = 0
    after_read: Callable[[], Awaitable[None]] = nothing

    async def position(self) -> int | None:
        self.positions_asked += 1
        return self.primary.position if self.primary_is_up else None

    async def read(self, ask: Ask[T], reach: int | None, *, token: int = 0) -> Read[T]:
        await asyncio.sleep(0)  # others may come meanwhile
        least = max(reach or 0, token)
        on_primary = self.primary_is_up and self.replica.position < least
        self.asked.append(Asked(reach=reach, token=token, on_primary=on_primary))
        found = await self._reached(ask, 0 if on_primary else token, on_primary=on_primary)
        await self.after_read()
        return Read(
            result=found.result,
            position=found.before - on_primary,
            upper=found.after,
            on_primary=on_primary,
            verified=on_primary or (reach is not None and least <= found.before),
        )

    async def read_primary(self, ask: Ask[T]) -> Read[T]:
        found = await self._reached(ask, 0, on_primary=True)
        return Read(result=found.result, position=found.before - 1, upper=found.after, on_primary=True)

    async def _reached(self, ask: Ask[T], least: int, *, on_primary: bool) -> Reached[T]:
        found = await ask(self.primary if on_primary else self.replica, least)  # type: ignore[arg-type]
        if found is None:
            raise TransientError("Nobody has reached the token.")
        return found


class World:
    """Entities 1 to 9, of which 1 has an edge to 2 and 2 one to 3; entity 0's value is the id that KEY leads to."""

    def __init__(self) -> None:
        self.history: dict[int, list[tuple[int, int]]] = {number: [(0, number * 100)] for number in range(10)}
        self.edges: dict[int, list[tuple[int, list[int]]]] = {1: [(0, [2])], 2: [(0, [3])]}
        self.clock = ManualClock()
        self.memory: MemoryCache[Fragment | IdList] = MemoryCache(self.clock, max_bytes=1_000_000)
        self.memory.restore()
        self.level = MemoryLevel()
        self.source = FakeSource(Server(self.history, self.edges), Server(self.history, self.edges))
        self.advance(100)
        self.catch_up()
        self.invalidator = CacheInvalidator(self.level, KEYSPACE, self.memory, None)
        self.pending = PendingInvalidations(self.invalidator)
        shared = SharedLevel(self.level, self.pending, self.source)  # type: ignore[arg-type]
        self.fragments = FragmentLoader(
            self.memory,
            shared,
            KEYSPACE,
            self.source,  # type: ignore[arg-type]
            self.clock,
            budget=Budget(nodes=100),
        )
        self.lists = ListLoader(self.memory, shared, self.source, self.clock)  # type: ignore[arg-type]

    def advance(self, by: int = 10) -> int:
        """Move the primary on; the replica stays."""
        self.source.primary.position += by
        return self.source.primary.position

    def catch_up(self) -> None:
        """Let the replica replay all that there is."""
        self.source.replica.position = self.source.primary.position

    def write(self, entity_id: int, value: int, edges: list[int] | None = None) -> Changes:
        """A commit on the primary of which nobody was told yet."""
        position = self.advance()
        self.history.setdefault(entity_id, []).append((position, value))
        if edges is not None:
            self.edges.setdefault(entity_id, []).append((position, edges))
        position = self.advance(1)
        if entity_id == 0:
            return Changes(position=position, keys=frozenset({KEY}))
        return Changes(position=position, entities=frozenset({entity_id}))

    async def commit(self, entity_id: int, value: int, edges: list[int] | None = None) -> Changes:
        """A commit and its invalidation."""
        changes = self.write(entity_id, value, edges)
        await self.invalidator.invalidate(changes)
        return changes

    async def commit_elsewhere(self, entity_id: int, value: int, edges: list[int] | None = None) -> Changes:
        """The same by another worker, whose notification is under way."""
        changes = self.write(entity_id, value, edges)
        await self.level.invalidate(self.invalidator.keys_of(changes), changes.position)
        return changes

    async def load(self, *ids: int, levels: int = 0, token: int = 0) -> Reading:
        """A request for these."""
        reading = Reading(token=token)
        await self.fragments.load(ids, levels, reading)
        return reading

    async def load_list(self, token: int = 0) -> tuple[IdList, Reading]:
        """A request for what KEY leads to."""
        reading = Reading(token=token)
        question = ListQuestion(KEYSPACE.reference(KEY), KEY.type, KEY.reference, id_of(KEY))
        return await self.lists.load(question, reading), reading

    def in_redis(self, key: CacheKey) -> int | None:
        """The value that Redis holds."""
        data = self.level.entry(key)
        if data is None:
            return None
        fragment = fragments.decode(data)
        if fragment is not None:
            return value_of(fragment)
        entry = id_lists.decode(data)
        assert entry is not None
        assert entry.ids is not None
        return entry.ids[0]

    def of(self, *ids: int) -> list[int | None]:
        """The values of entities that Redis holds."""
        return [self.in_redis(KEYSPACE.fragment(entity_id)) for entity_id in ids]

    def remembered(self, *ids: int) -> list[int | None]:
        """The values of entities that memory holds."""
        found = [self.memory.get(entity_id) for entity_id in ids]
        return [value_of(fragment) if isinstance(fragment, Fragment) else None for fragment in found]


def value_of(fragment: Fragment) -> int:
    """The integer that stands for an entity's content."""
    return int(fragment.head.partition(b'{"f":')[2].partition(b"}")[0])


def values(reading: Reading, ids: Sequence[int]) -> list[int]:
    """What a request was answered."""
    return [value_of(reading.fragments[entity_id]) for entity_id in ids]
