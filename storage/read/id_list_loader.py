"""Look-ups, which are lists of ids, from the memory of this process, from Redis, or from PostgreSQL."""

from dataclasses import dataclass
from typing import NamedTuple

from app.core.clock import Clock
from app.core.consistency_token import position_of
from app.core.failpoints import NO_HOOKS, Hooks
from app.observability.metrics import CACHE_READS
from storage.cache import id_lists
from storage.cache.id_lists import MAX_CACHED_IDS, IdList
from storage.cache.keyspace import CacheKey
from storage.cache.leases import SharedLevel
from storage.cache.memory import Memory, Ticket
from storage.cache.single_flight import Flights
from storage.postgres.positioned import Ask
from storage.postgres.replicas import Read, ReadSource
from storage.read.outcome import Reading, ReadOutcome


class ListQuestion(NamedTuple):
    """What a look-up asks for, as storage.cache.id_lists.IdList keeps it; `ask` gives one id more than is cached."""

    key: CacheKey
    within: str
    asked: str
    ask: Ask[list[int]]


@dataclass(slots=True, kw_only=True)
class LoadedList(ReadOutcome):
    """What one fill found."""

    entry: IdList


class ListLoader:
    """Answers look-ups and adds to readings where they came from."""

    def __init__(
        self,
        memory: Memory,
        shared: SharedLevel,
        source: ReadSource,
        clock: Clock,
        *,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._source = source
        self._clock = clock
        self._hooks = hooks
        self._flights: Flights[LoadedList] = Flights(memory)  # type: ignore[arg-type]  # it puts nothing there

    def recall(self, key: CacheKey) -> IdList | None:
        """What this process's memory has under the key, which may be the list of another spelling."""
        entry = self._memory.get(key.local)
        return entry if isinstance(entry, IdList) else None

    async def load(self, question: ListQuestion, reading: Reading) -> IdList:
        """The list under the question's key, which may be that of another spelling."""
        key = question.key
        entry = self._memory.get(key.local)
        if not isinstance(entry, IdList) or entry.position < position_of(reading.token):
            flight = None if reading.token else self._flights.to_join(key.local)
            if flight is None:
                token = reading.token
                # With a token it may fail where others would be answered.
                shared = [] if token else [key.local]
                flight = self._flights.begin(shared, lambda ticket: self._fill(question, token, ticket))
            loaded = await flight.landed()
            reading.add(loaded)
            CACHE_READS.add("lookup", "postgres" if loaded.asked_postgres else "redis")
            entry = loaded.entry
        else:
            CACHE_READS.add("lookup", "memory")
        reading.note(entry.upper, entry.read_at)
        return entry

    async def uncached(self, ask: Ask[list[int]], reading: Reading) -> list[int]:
        """Ask PostgreSQL, for what is not cached."""
        read = await self._source.read(ask, await self._source.position(), token=reading.token)
        reading.add(ReadOutcome(asked_postgres=True, bypassed=True, stored=False, verified=read.verified))
        reading.note(read.upper, self._clock.epoch_s())
        return read.result

    async def _fill(self, question: ListQuestion, token: int, ticket: Ticket) -> LoadedList:
        key = question.key
        (data,) = await self._shared.get([key])
        entry = _fresh(data, token)
        if entry is not None:
            loaded = LoadedList(entry=entry)
        else:
            loaded = await self._read(question, token)
        if loaded.verified:
            entry = loaded.entry
            self._memory.put(key.local, entry, entry.size_bytes, ticket, position=entry.position)
        return loaded

    async def _read(self, question: ListQuestion, token: int) -> LoadedList:
        key = question.key
        (found,) = await self._shared.lease([key])
        entry = _fresh(found.entry, token)
        if entry is not None:
            return LoadedList(entry=entry)
        reach = await self._shared.reach([key], [found])
        await self._hooks.reach("between-position-and-data")
        read: Read[list[int]] = await self._source.read(question.ask, reach.position, token=token)
        entry = IdList(
            within=question.within,
            asked=question.asked,
            ids=read.result if len(read.result) <= MAX_CACHED_IDS else None,
            position=read.position,
            upper=read.upper,
            read_at=self._clock.epoch_s(),
        )
        loaded = LoadedList(
            entry=entry, asked_postgres=True, bypassed=found.lease is None, verified=read.verified
        )
        loaded.stored = False
        if found.lease is not None and read.verified:
            await self._hooks.reach("between-data-and-store")
            loaded.stored = await self._shared.fill([(key, found.lease, id_lists.encode(entry))])
        return loaded


def _fresh(data: bytes | None, token: int) -> IdList | None:
    entry = None if data is None else id_lists.decode(data)
    return entry if entry is not None and entry.position >= position_of(token) else None
