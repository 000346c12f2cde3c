"""Faults that a run has to find: errors of before, put back, and rules of the freshness protocol, switched off."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

from storage.cache import invalidation, leases, lookups
from storage.cache.commit import Commit
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.memory import MemoryCache
from storage.postgres import replicas
from storage.postgres.replicas import ReadSource
from storage.postgres.visibility import Visibility
from storage.read import fragment_loader, id_list_loader, reader, rendered_tree, tree_cache
from storage.read.fragment_loader import FragmentLoader
from storage.read.outcome import Reading
from storage.read.rendered_tree import Skeleton
from tests.simulation.database import Server
from tests.simulation.run import Run
from tests.simulation.worker import Emptied, Worker
from tests.unit.storage.fakes import Mark, MemoryLevel, Slot

Patch = tuple[Any, str, Any]


def _two_readings() -> list[Patch]:
    """A deeper read replaces what a tree was walked by."""
    walk = reader.CachedGraphReader._walk

    def take(self: Reading, fragment: Fragment) -> None:
        self.fragments[fragment.id] = fragment

    async def walked(self: Any, roots: Any, depth: int, reading: Reading, found: Any) -> Any:
        trees = await walk(self, roots, depth, reading, found)
        for tree in trees:
            tree.fragments = {
                node: reading.fragments[node] for node in tree.order if node in reading.fragments
            }
        return trees

    return [(Reading, "take", take), (reader.CachedGraphReader, "_walk", walked)]


def _path_twice() -> list[Patch]:
    """The path of a look-up is made canonical twice, for its name alone."""
    name_of = lookups.cacheable

    def twice(path: str, value: str) -> Any:
        name = name_of(path, value)
        return None if name is None else name._replace(path=lookups.canonical_path(name.path))

    def answers(self: IdList, within: str, asked: str) -> bool:
        return self.asked == asked

    return [(lookups, "cacheable", twice), (IdList, "answers", answers)]


def _flushed_is_visible() -> list[Patch]:
    """A read of the primary claims its flush position minus one, and tokens do not say who showed them."""
    return [
        (Visibility, "reached", lambda self, moment: moment.position - 1),
        (replicas, "is_of_replica", lambda token: False),
    ]


def _newest_is_not_seen() -> list[Patch]:
    """A snapshot ends after the latest transaction that has ended, as PostgreSQL's `pg_snapshot_xmax` says."""

    def moment(self: Server) -> tuple[int, int]:
        running, newest = self._database.running, self._database.next_xid
        while newest - 1 in running:
            newest -= 1
        return min(running, default=newest), newest

    return [(Server, "_moment", moment)]


def _never_waits() -> list[Patch]:
    return [(replicas, "is_of_replica", lambda token: False)]


def _claims_flush_position() -> list[Patch]:
    return [(Visibility, "reached", lambda self, moment: moment.position)]


def _token_before_data() -> list[Patch]:
    """The token of a read is the position before it."""
    made = replicas._of_replica

    def of_replica(found: Any, **more: Any) -> Any:
        return made(found._replace(after=max(0, found.before - 800)), **more)

    return [(replicas, "_of_replica", of_replica)]


def _token_is_ignored() -> list[Patch]:
    zero = lambda token: 0  # noqa: E731
    return [
        (module, "position_of", zero) for module in (fragment_loader, id_list_loader, tree_cache, replicas)
    ]


def _nobody_is_told() -> list[Patch]:
    async def publish(self: Worker, keys: Sequence[Any]) -> list[Any]:
        notified = {key.name: dict(self.cluster.notified.shown(0)) for key in keys}
        for other in self.cluster.workers:
            if other is not self:
                other.notified.add(notified)
        return []

    return [(Worker, "publish", publish)]


def _entry_stays() -> list[Patch]:
    async def invalidate(self: MemoryLevel, keys: Sequence[Any], position: int) -> list[Any]:
        for key in keys:
            if key.group in self.marks and position == 0:
                del self.marks[key.group]
            elif key.group in self.marks:
                self.marks[key.group].position = max(self.marks[key.group].position, position)
            slot = self.slots.get(key.name)
            if slot is not None:
                slot.lease = None
        return []

    return [(MemoryLevel, "invalidate", invalidate)]


def _mark_stays() -> list[Patch]:
    """A commit does not raise the mark of its keys' groups."""

    async def invalidate(self: MemoryLevel, keys: Sequence[Any], position: int) -> list[Any]:
        for key in keys:
            self.slots.pop(key.name, None)
        return []

    return [(MemoryLevel, "invalidate", invalidate)]


def _lease_stays() -> list[Patch]:
    """A commit leaves leases, so that a fill under way stores what it read before."""

    async def invalidate(self: MemoryLevel, keys: Sequence[Any], position: int) -> list[Any]:
        for key in keys:
            if key.group in self.marks:
                mark = self.marks[key.group]
                mark.position = max(mark.position, position)
            slot = self.slots.get(key.name)
            if slot is not None:
                slot.entry = None
        return []

    return [(MemoryLevel, "invalidate", invalidate)]


def _own_memory_once() -> list[Patch]:
    """The writer's own process does not empty its memory again when Redis was notified."""
    invalidate = MemoryCache.invalidate

    def first_alone(self: Any, keys: Any, *, again_soon: bool = False) -> None:
        if again_soon or sys._getframe(1).f_code.co_name != "drop":
            invalidate(self, keys, again_soon=again_soon)

    return [(MemoryCache, "invalidate", first_alone)]


def _mark_from_nothing() -> list[Patch]:
    """A missing mark becomes zero instead of the primary's position."""

    async def reach(self: Any, keys: Any, found: Sequence[Any]) -> leases.Reach:
        pending = {
            k.group: f.mark_lease for k, f in zip(keys, found, strict=True) if f.mark_lease is not None
        }
        if pending:
            await self._cache.set_marks(pending, 0)
        return leases.Reach(max([f.mark for f in found if f.mark is not None], default=0), of_primary=False)

    return [(leases.SharedLevel, "reach", reach)]


def _mark_is_not_reached() -> list[Patch]:
    read = ReadSource.read

    async def any_replica(self: Any, ask: Any, reach: int | None, *, token: int = 0) -> Any:
        return await read(self, ask, reach and 0, token=token)

    return [(ReadSource, "read", any_replica)]


def _any_lease_will_do() -> list[Patch]:
    async def fill(self: MemoryLevel, entries: Sequence[Any]) -> bool:
        for key, _, entry in entries:
            self.slots[key.name] = Slot(entry=entry)
        return True

    return [(MemoryLevel, "fill", fill)]


def _mark_of_anybody() -> list[Patch]:
    """A mark is set over another one's lease: that of who found the group empty again, after its node restarted.

    Seen where a worker reads the position, a commit follows, the node restarts and forgets what that commit raised,
    another worker leases the mark, and the first one sets its own, older position: a replica that lacks the commit has
    reached it.
    """

    async def set_marks(self: MemoryLevel, found: Mapping[int, bytes], position: int) -> None:
        for group in found:
            mark = self.marks.setdefault(group, Mark())
            mark.position, mark.lease = max(mark.position, position), None

    return [(MemoryLevel, "set_marks", set_marks)]


def _mark_without_meanwhile() -> list[Patch]:
    """A mark that is set over its own lease forgets what commits raised meanwhile."""

    async def set_marks(self: MemoryLevel, found: Mapping[int, bytes], position: int) -> None:
        for group, lease in found.items():
            if group in self.marks and self.marks[group].lease == lease:
                self.marks[group] = Mark(position)

    return [(MemoryLevel, "set_marks", set_marks)]


def _unverified_is_kept() -> list[Patch]:
    unverified = ReadSource._unverified

    async def verified(self: Any, ask: Any, least: int | None, token: int) -> Any:
        return replace(await unverified(self, ask, least, token), verified=True)

    return [(ReadSource, "_unverified", verified)]


def _early_read_will_do() -> list[Patch]:
    """What was read before it had a lease is stored whatever the mark is after it."""

    async def lease_below(self: Any, fragments: Any, found: Any, loaded: Any, **more: Any) -> Any:
        return await below(self, fragments, found, loaded, **(more | {"position": 1 << 60}))

    below = FragmentLoader._lease_below
    return [(FragmentLoader, "_lease_below", lease_below)]


def _overtaken_is_kept() -> list[Patch]:
    return [(MemoryCache, "is_current", lambda self, key, ticket: self.is_on)]


def _losses_are_not_noticed() -> list[Patch]:
    """Neither a gap in the numbers nor silence empties the memory."""

    def emptied(self: Emptied) -> None:
        self._worker.emptied()

    return [(Emptied, "lose", emptied), (Emptied, "forget", emptied)]


def _nothing_is_repeated() -> list[Patch]:
    async def repeat(self: Run) -> None:
        pass

    return [(Run, "_repeat", repeat)]


def _cancelled_tells_nobody() -> list[Patch]:
    """A writer that is cancelled between its commit and the invalidation takes that along."""

    @asynccontextmanager
    async def commit(self: invalidation.PendingInvalidations) -> AsyncIterator[Commit]:
        made = Commit()
        try:
            yield made
        except asyncio.CancelledError:
            raise
        except BaseException:
            await tell(self, made)
            raise
        await tell(self, made)

    async def tell(self: invalidation.PendingInvalidations, made: Commit) -> None:
        if made.changes_at is not None:
            await self.submit(await made.changes_at(made.position))

    return [(invalidation.PendingInvalidations, "commit", commit)]


def _owed_is_asked_for() -> list[Patch]:
    """What is owed is read from Redis all the same."""
    return [(invalidation.PendingInvalidations, "owes", lambda self, key: False)]


def _tree_holds() -> list[Patch]:
    """A kept tree is good however its fragments change."""

    def skeleton(self: Any, root: int, depth: int, token: int) -> Skeleton | None:
        found: Skeleton | None = self._skeletons.get((root, depth)) or self._skeletons.get((root, 0))
        return found if found is not None and found.position >= token else None

    return [(tree_cache.KeptTrees, "skeleton", skeleton)]


def _renewed_anyhow() -> list[Patch]:
    """A kept tree is renewed also where an entity leads elsewhere."""
    return [(rendered_tree, "_leads_as", lambda new, old: bool(new.temporal) == bool(old.temporal))]


MUTANTS: Final[Mapping[str, Callable[[], list[Patch]]]] = {
    "a tree of two readings": _two_readings,
    "a look-up under another one's key": _path_twice,
    "a session goes back on the primary": _flushed_is_visible,
    "the newest transaction is not seen to run (r1)": _newest_is_not_seen,
    "the primary does not wait for what replicas show (r8)": _never_waits,
    "a read of the primary claims its flush position (r1)": _claims_flush_position,
    "the token is from before the data (r8)": _token_before_data,
    "a token is ignored (r8)": _token_is_ignored,
    "nobody is notified (r3)": _nobody_is_told,
    "the entry stays (r3)": _entry_stays,
    "the mark is not raised (r3)": _mark_stays,
    "the lease stays (r3)": _lease_stays,
    "its own memory is notified only before (r3)": _own_memory_once,
    "a missing mark is zero (r4)": _mark_from_nothing,
    "a mark is set over any lease (r4)": _mark_of_anybody,
    "a mark forgets what arrived meanwhile (r4)": _mark_without_meanwhile,
    "the mark is not reached (r5)": _mark_is_not_reached,
    "a fill needs no lease (r5)": _any_lease_will_do,
    "what is unverified is kept (r5)": _unverified_is_kept,
    "an early read will do (r5)": _early_read_will_do,
    "what was overtaken is kept (r6)": _overtaken_is_kept,
    "losses are not noticed (r6)": _losses_are_not_noticed,
    "nothing is repeated (r7)": _nothing_is_repeated,
    "a cancelled writer tells nobody (r3)": _cancelled_tells_nobody,
    "what is owed is read from Redis": _owed_is_asked_for,
    "a kept tree always holds": _tree_holds,
    "a kept tree is renewed with other edges": _renewed_anyhow,
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run with this fault."""
    patches = [patch.object(owner, attribute, made) for owner, attribute, made in MUTANTS[name]()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in reversed(patches):
            each.stop()
