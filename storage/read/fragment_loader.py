"""Fragments from the memory of this process, from Redis, or from PostgreSQL, whichever has them fresh."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final

import asyncpg

from app.core.clock import Clock
from app.core.consistency_token import position_of
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.pieces import PIECE_BYTES, Piece
from app.observability.metrics import CACHE_READS
from storage.cache import fragments as codec
from storage.cache.fragments import Fragment
from storage.cache.keyspace import Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.memory import Memory, Ticket
from storage.cache.shared import Found
from storage.cache.single_flight import Flights
from storage.postgres.replicas import Read, ReadSource
from storage.read import graph_queries
from storage.read.budget import Budget
from storage.read.graph_queries import GraphRows
from storage.read.outcome import Reading, ReadOutcome

_ITEMS_AT_ONCE: Final = 1_000  # edges and points of one entity
_HINTED_AT_ONCE: Final = 10  # roots, each of which looks through some thousand edges
MOST_HINTS: Final = 1_000


@dataclass(slots=True, kw_only=True)
class Loaded(ReadOutcome):
    """What one fill, which had to reach `token`, found; of those that are `unread` nothing is known."""

    token: int
    fragments: dict[int, Fragment] = field(default_factory=dict)
    unread: frozenset[int] = frozenset()


class FragmentLoader:
    """Adds fragments to readings."""

    def __init__(
        self,
        memory: Memory,
        shared: SharedLevel,
        keyspace: Keyspace,
        source: ReadSource,
        clock: Clock,
        *,
        budget: Budget,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._memory = memory
        self._shared = shared
        self._keys = keyspace
        self._source = source
        self._clock = clock
        self._budget = budget
        self._hooks = hooks
        self._flights: Flights[Loaded] = Flights(memory)  # type: ignore[arg-type]  # it puts nothing there

    def recall(self, ids: Sequence[int], known: dict[int, Fragment]) -> bool:
        """Add these from this process's memory; false where one is not there."""
        recall = self._memory.get
        for entity_id in ids:
            fragment = recall(entity_id)
            if not isinstance(fragment, Fragment):
                return False
            known[entity_id] = fragment
        return True

    async def load(
        self, ids: Sequence[int], levels: int, reading: Reading, hints: Iterable[int] = ()
    ) -> None:
        """Add those of `ids` that exist; what lies within `levels` below may come with them.

        `hints` are ids that are likely to be asked for next: what the caches have of them comes along. Nothing that the
        reading has, or knows to be missing, is read again. Where they weigh much some stay unknown to the reading: who
        still wants them loads them again. At least one of those that exist is added.
        """
        asked = [entity_id for entity_id in ids if not reading.knows(entity_id)]
        missing = self._load_remembered(asked, reading)
        unread: frozenset[int] = frozenset()
        if missing:
            unread = await self._load_missing(missing, levels, reading, islice(hints, MOST_HINTS))
        reading.known.update(i for i in ids if i not in unread or i in reading.fragments)

    def _load_remembered(self, ids: Sequence[int], reading: Reading) -> list[int]:
        """Add what this process's memory has; returns those of `ids` that it has not."""
        known, recall, least = reading.fragments, self._memory.get, position_of(reading.token)
        missing = []
        for entity_id in ids:
            fragment = recall(entity_id)
            if isinstance(fragment, Fragment) and fragment.position >= least:
                known[entity_id] = fragment
            else:
                missing.append(entity_id)
        if len(missing) < len(ids):
            CACHE_READS.add("fragment", "memory", count=len(ids) - len(missing))
        return missing

    async def _load_missing(
        self, missing: list[int], levels: int, reading: Reading, hints: Iterable[int]
    ) -> frozenset[int]:
        """Add those that exist, of Redis, of reads under way, or of PostgreSQL; returns those that stay unknown."""
        known, recall, asked = reading.fragments, self._memory.get, len(missing)
        # What is being read just now is not in Redis yet: a commit has taken it from there, too.
        flying = {} if reading.token else {i: None for i in missing if self._flights.to_join(i) is not None}
        sought = [i for i in missing if i not in flying] if flying else missing
        missing = await self._load_shared(sought, hints, reading) if sought else []
        for entity_id in flying:
            fragment = recall(entity_id)
            if isinstance(fragment, Fragment):  # it has landed meanwhile
                known[entity_id] = fragment
            else:
                missing.append(entity_id)
        if len(missing) < asked:
            CACHE_READS.add("fragment", "redis", count=asked - len(missing))
        if missing:
            CACHE_READS.add("fragment", "postgres", count=len(missing))
            # What was notified lately is missing alone; else what lies below may well be missing, too.
            is_cold = len(missing) == asked and not any(map(self._memory.was_notified, missing))
            return await self._load_read(missing, levels if is_cold else 0, reading)
        return frozenset()

    async def refill(self, ids: Sequence[int]) -> int:
        """Read these into memory, as far as nobody else is about to; returns how many of them exist."""
        missing = [entity_id for entity_id in ids if self._memory.peek(entity_id) is None]
        reading = Reading()
        if missing:
            await self._load_read(missing, 0, reading)
        return len(reading.fragments)

    async def _load_shared(self, ids: Sequence[int], hints: Iterable[int], reading: Reading) -> list[int]:
        """Add what the shared level has; returns those of `ids` that it has not."""
        known, token, memory = reading.fragments, reading.token, self._memory
        ticket = memory.ticket()
        asked = dict.fromkeys(ids)
        for entity_id in hints:
            if not reading.knows(entity_id) and entity_id not in asked and memory.get(entity_id) is None:
                asked[entity_id] = None
        entries = await self._shared.get(list(map(self._keys.fragment, asked)))
        size = 0
        for entity_id, entry in zip(asked, entries, strict=True):
            size += len(entry or b"")
            if size > PIECE_BYTES:  # a notification that comes meanwhile voids the ticket
                size = 0
                await asyncio.sleep(0)
            fragment = _usable(entry, token)
            if fragment is not None:
                known[entity_id] = fragment
                memory.put(entity_id, fragment, fragment.size_bytes, ticket, position=fragment.position)
        return [entity_id for entity_id in ids if entity_id not in known]

    async def _load_read(self, ids: Sequence[int], levels: int, reading: Reading) -> frozenset[int]:
        """Add what PostgreSQL has, or another fill stored meanwhile; one flight for concurrent misses.

        Returns those of which a read had to leave out whether they exist.
        """
        token, unread = reading.token, set[int]()
        joined = {} if token else {i: flight for i in ids if (flight := self._flights.to_join(i)) is not None}
        own = [entity_id for entity_id in ids if entity_id not in joined]
        begun = None
        if own:
            # With a token it may fail where others would be answered.
            begun = self._flights.begin(
                [] if token else own, lambda ticket: self._fill(own, levels, token, ticket)
            )
        for entity_id, flight in joined.items():
            loaded = await flight.landed()
            reading.add(loaded)
            # That alone: the flight may have been overtaken for its others.
            if entity_id in loaded.fragments:
                reading.take(loaded.fragments[entity_id])
            elif entity_id in loaded.unread:
                unread.add(entity_id)
        if begun is not None:
            loaded = await begun.landed()
            reading.add(loaded)
            unread |= loaded.unread
            for fragment in loaded.fragments.values():
                reading.take(fragment)
        return frozenset(unread)

    async def _fill(self, ids: list[int], levels: int, token: int, ticket: Ticket) -> Loaded:
        loaded = Loaded(token=token)
        await self._read(ids, levels, loaded, ticket)
        self._remember(loaded, ticket)
        return loaded

    def _remember(self, loaded: Loaded, ticket: Ticket) -> None:
        """Keep what is verified, and not overtaken, in the process."""
        if loaded.verified:
            for entity_id, fragment in loaded.fragments.items():
                if self._memory.peek(entity_id) is not fragment:
                    size, position = fragment.size_bytes, fragment.position
                    self._memory.put(entity_id, fragment, size, ticket, position=position)

    @staticmethod
    def _take(entry: bytes | None, entity_id: int, loaded: Loaded) -> bool:
        fragment = _usable(entry, loaded.token)
        if fragment is None:
            return False
        loaded.fragments[entity_id] = fragment
        return True

    async def _read(self, ids: list[int], levels: int, loaded: Loaded, ticket: Ticket) -> None:
        keys = [self._keys.fragment(entity_id) for entity_id in ids]
        found = dict(zip(ids, await self._shared.lease(keys), strict=True))
        # Somebody else's fill may have landed meanwhile.
        ids = [i for i in ids if not self._take(found[i].entry, i, loaded)]
        if not ids:
            return
        below = await self._read_leased(ids, found, levels, loaded, ticket)
        if below:
            # Its group has moved on since: with the lease that it has now, as any other.
            await self._read_leased(list(below), below, 0, loaded, ticket)

    async def _read_leased(
        self, ids: list[int], found: Mapping[int, Found], levels: int, loaded: Loaded, ticket: Ticket
    ) -> dict[int, Found]:
        """Read these and what is below them, and store it; returns what is below and has to be read again."""
        keys = {i: self._keys.fragment(i) for i in ids}
        leases = {i: found[i].lease for i in ids}
        reach = await self._shared.reach(list(keys.values()), [found[i] for i in ids])
        await self._hooks.reach("between-position-and-data")
        ask = graph_queries.graph(ids, levels=levels, budget=self._budget)
        read = await self._source.read(ask, reach.position, token=loaded.token)
        loaded.unread = read.result.unread.intersection(ids)
        fragments = await _made(read, self._clock.epoch_s())
        if levels:
            for number, root in enumerate(ids, start=1):
                if root in fragments:
                    fragments[root] = codec.with_hint(fragments[root], fragments)
                if number % _HINTED_AT_ONCE == 0:
                    await asyncio.sleep(0)
        loaded.asked_postgres = True
        loaded.verified &= read.verified
        loaded.bypassed |= None in leases.values()
        if not read.verified:
            loaded.fragments.update(fragments)
            return {}
        holds_all = read.on_primary or reach.of_primary
        stale = await self._lease_below(
            fragments, leases, loaded, position=read.acknowledged, holds_all=holds_all
        )
        fills = []
        piece = Piece()
        for entity_id, fragment in fragments.items():
            if entity_id in stale or entity_id in loaded.fragments:
                continue
            loaded.fragments[entity_id] = fragment
            lease = leases.get(entity_id)
            if lease is not None:
                entry = codec.encode(fragment)
                fills.append((self._keys.fragment(entity_id), lease, entry))
                if piece.is_full(len(entry)):
                    await asyncio.sleep(0)
        # Before it is in Redis: who asks meanwhile needs neither that nor this flight.
        self._remember(loaded, ticket)
        if fills:
            await self._hooks.reach("between-data-and-store")
            loaded.stored &= await self._shared.fill(fills)
        return stale

    async def _lease_below(
        self,
        fragments: Mapping[int, Fragment],
        leases: dict[int, bytes | None],
        loaded: Loaded,
        *,
        position: int,
        holds_all: bool,
    ) -> dict[int, Found]:
        """Plant leases for what was read at `position` before it had any, and add them to `leases`.

        A read that has reached the group's mark as it is after the lease is as good as one that begins now. What has
        not is returned. Where the cache can't be asked, a read that held every commit (`holds_all`) will do.
        """
        below = [i for i in fragments if i not in leases]
        if not below:
            return {}
        keys = [self._keys.fragment(i) for i in below]
        stale: dict[int, Found] = {}
        found = await self._shared.lease(keys)
        unmarked = [(k, f) for k, f in zip(keys, found, strict=True) if f.mark_lease is not None]
        floor = None
        if unmarked:
            floor = (await self._shared.reach([k for k, _ in unmarked], [f for _, f in unmarked])).position
        for entity_id, item in zip(below, found, strict=True):
            if self._take(item.entry, entity_id, loaded):
                continue
            mark = item.mark if item.mark_lease is None else floor
            if mark is None:
                loaded.bypassed = True
                if not holds_all:
                    stale[entity_id] = Found()
            elif mark > position:
                stale[entity_id] = replace(item, mark=mark, mark_lease=None)
            else:
                leases[entity_id] = item.lease
        return stale


async def _made(read: Read[GraphRows], now: float) -> dict[int, Fragment]:
    """The fragments of the rows."""
    made: dict[int, Fragment] = {}
    piece = Piece()
    for row in read.result.rows:
        work = partial(codec.from_row, row, position=read.position, upper=read.upper, read_at=now)
        fragment = await asyncio.to_thread(work) if _is_wide(row) else work()
        made[fragment.id] = fragment
        if piece.is_full(fragment.size_bytes):
            await asyncio.sleep(0)
    return made


def _is_wide(row: asyncpg.Record) -> bool:
    """Whether one fragment of so many edges or points takes more than a turn of the event loop."""
    return len(row["targets"] or ()) + len(row["dates"] or ()) > _ITEMS_AT_ONCE or (
        len(row["properties"]) > PIECE_BYTES
    )


def _usable(entry: bytes | None, token: int) -> Fragment | None:
    fragment = None if entry is None else codec.decode(entry)
    return fragment if fragment is not None and fragment.position >= position_of(token) else None
