"""The staleness auditor: does the cache say what the primary says? After Meta's Polaris.

An entry that differs from the primary is only a suspect, since the commit that changed it may not have been told yet.
It is stale when, after a grace, the same entry is still there and differs from the primary again: the primary knew
better for as long as the grace, and nobody has dropped it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.audit import AuditReport, Kind, Mismatch
from app.core.errors import TransientError
from app.core.models import EntityKey, Lookup
from storage.audit.levels import AuditedLevel, Entry
from storage.audit.trees import AuditedTrees, TreeVerdict
from storage.cache import fragments, lookups
from storage.cache.fragments import Fragment
from storage.cache.id_lists import MAX_CACHED_IDS, IdList
from storage.cache.invalidation import CacheInvalidator
from storage.cache.keyspace import CacheKey, Keyspace
from storage.postgres.replicas import ReadSource
from storage.read import graph_queries
from storage.read.budget import Budget

_TREES_OF_A_SAMPLE: Final = 4  # each fourth
_BATCH: Final = 100  # entries that are read, and asked for on the primary, at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sampled:
    level: AuditedLevel
    key: CacheKey
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """Whether the entry differs from what the primary held at `position`; `upper` was read after it."""

    differs: bool
    position: int
    upper: int


class CacheAuditor:
    """Implements app.ports.caching.Auditor.

    `budget` is that of the readers, since a fragment holds so many edges and points at most. `trees` are those of this
    process, of which a quarter of a sample is looked at: each takes as much of the primary as its entities.
    """

    def __init__(
        self,
        levels: Sequence[AuditedLevel],
        source: ReadSource,
        keyspace: Keyspace,
        invalidator: CacheInvalidator,
        *,
        budget: Budget,
        trees: AuditedTrees | None = None,
    ) -> None:
        self._levels = levels
        self._trees = trees
        self._source = source
        self._keys = keyspace
        self._invalidator = invalidator
        self._budget = budget

    async def audit(self, *, sample: int, grace_s: float, repair: bool = False) -> AuditReport:
        checked: Counter[Kind] = Counter()
        suspects: list[_Sampled] = []
        for level in self._levels:
            keys = await level.keys(sample)
            for start in range(0, len(keys), _BATCH):
                sampled = await _entries(level, keys[start : start + _BATCH])
                checked.update(self._keys.kind_of(each.key) for each in sampled)
                verdicts = await self._compare(sampled)
                suspects += [s for s, verdict in zip(sampled, verdicts, strict=True) if verdict.differs]
        wrong = []
        if self._trees is not None:
            trees = self._trees.sample(-(-sample // _TREES_OF_A_SAMPLE))
            if trees:
                checked["tree"] = len(trees)
            wrong = [each.tree for each in await self._trees.compare(trees) if each.differs]
        if not suspects and not wrong:
            return AuditReport(checked=checked, mismatches=[])
        await asyncio.sleep(grace_s)
        stale = await self._still_stale(suspects)
        stale_trees = []
        if self._trees is not None:
            again = await self._trees.compare(self._trees.still_held(wrong))
            known = {s.entry.id for s, _ in stale if isinstance(s.entry, Fragment)}
            # One that shows a stale fragment falls with it, and says nothing more.
            stale_trees = [
                verdict
                for verdict in again
                if verdict.differs and known.isdisjoint(node for node, _ in verdict.tree.skeleton.items)
            ]
        dropped = {sampled.key for sampled, _ in stale}
        dropped |= {self._keys.fragment(verdict.tree.skeleton.root) for verdict in stale_trees}
        # Whatever commit they missed lies below, so no lagging replica brings them back.
        position = max([verdict.upper for _, verdict in stale] + [v.upper for v in stale_trees], default=0)
        return AuditReport(
            checked=checked,
            mismatches=[self._mismatch(sampled, verdict) for sampled, verdict in stale]
            + list(map(_mismatch_of_tree, stale_trees)),
            repaired=repair and await self._drop(list(dropped), position),
        )

    async def _still_stale(self, suspects: Sequence[_Sampled]) -> list[tuple[_Sampled, _Verdict]]:
        stale = []
        for level in self._levels:
            of_level = [suspect for suspect in suspects if suspect.level is level]
            for start in range(0, len(of_level), _BATCH):
                batch = of_level[start : start + _BATCH]
                entries = await level.get([suspect.key for suspect in batch])
                # Equal in its positions, too: what was read again meanwhile is another entry.
                kept = [s for s, entry in zip(batch, entries, strict=True) if entry == s.entry]
                verdicts = await self._compare(kept)
                stale += [(s, verdict) for s, verdict in zip(kept, verdicts, strict=True) if verdict.differs]
        return stale

    async def _compare(self, sampled: Sequence[_Sampled]) -> list[_Verdict]:
        """Ask the primary for what these entries should hold. They were read before, so it is not older."""
        ids = [each.entry.id for each in sampled if isinstance(each.entry, Fragment)]
        held: dict[int, bytes] = {}
        position = upper = 0
        while ids:
            read = await self._source.read_primary(graph_queries.graph(ids, levels=0, budget=self._budget))
            position = min(position, read.position) or read.position
            upper = max(upper, read.upper)
            for row in read.result.rows:
                found = fragments.from_row(row, position=read.position, upper=read.upper, read_at=0)
                held[found.id] = found.digest
            ids = sorted(read.result.unread)
        return [
            _Verdict(differs=held.get(each.entry.id) != each.entry.digest, position=position, upper=upper)
            if isinstance(each.entry, Fragment)
            else await self._compare_list(each.key, each.entry)
            for each in sampled
        ]

    async def _compare_list(self, key: CacheKey, entry: IdList) -> _Verdict:
        named: CacheKey | None
        if self._keys.kind_of(key) == "reference":
            of_entity = EntityKey(entry.within, entry.asked)
            named, ask = self._keys.reference(of_entity), graph_queries.id_of(of_entity)
        else:
            text = lookups.canonical_value(entry.asked)
            named = None if text is None else self._keys.lookup(Lookup(entry.within, text))
            ask = graph_queries.ids_with(entry.within, entry.asked, after=0, limit=MAX_CACHED_IDS + 1)
        read = await self._source.read_primary(ask)
        ids = read.result if len(read.result) <= MAX_CACHED_IDS else None
        # A list under a key that is not its own: no change of what it tells would drop it.
        differs = named != key or ids != entry.ids
        return _Verdict(differs=differs, position=read.position, upper=read.upper)

    def _mismatch(self, sampled: _Sampled, verdict: _Verdict) -> Mismatch:
        entry = sampled.entry
        return Mismatch(
            kind=self._keys.kind_of(sampled.key),
            level=sampled.level.name,
            subject=str(entry.id) if isinstance(entry, Fragment) else entry.within,
            cached_position=entry.position,
            primary_position=verdict.position,
            read_at=datetime.fromtimestamp(entry.read_at, UTC),
        )

    async def _drop(self, keys: Sequence[CacheKey], position: int) -> bool:
        """Drop them everywhere; of a tree its root, without which it does not hold.

        Raises TransientError where a node did not take it.
        """
        if not keys:
            return False
        if await self._invalidator.drop(keys, position):
            raise TransientError("The cache did not take the invalidation of what is stale.")
        return True


def _mismatch_of_tree(verdict: TreeVerdict) -> Mismatch:
    skeleton = verdict.tree.skeleton
    return Mismatch(
        kind="tree",
        level="memory",
        subject=str(skeleton.root),
        cached_position=skeleton.position,
        primary_position=verdict.position,
        read_at=datetime.fromtimestamp(skeleton.read_at, UTC),
    )


async def _entries(level: AuditedLevel, keys: Sequence[CacheKey]) -> list[_Sampled]:
    """Leases, and what is gone again, are left out."""
    entries = await level.get(keys)
    return [
        _Sampled(level=level, key=key, entry=entry)
        for key, entry in zip(keys, entries, strict=True)
        if entry is not None
    ]
