"""Graph reads: trees put together from fragments, a level at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import chain
from typing import Final

from msgspec.structs import replace

from app.core.clock import Clock
from app.core.consistency_token import latest
from app.core.dates import to_text
from app.core.models import EntityKey
from app.core.selection import Selection
from app.ports.graph import Answer
from storage.cache import lookups
from storage.cache.fragments import Fragment
from storage.cache.id_lists import MAX_CACHED_IDS
from storage.cache.keyspace import Keyspace
from storage.read import graph_queries, selected
from storage.read.fragment_loader import FragmentLoader
from storage.read.id_list_loader import ListLoader, ListQuestion
from storage.read.outcome import Reading
from storage.read.rendered_tree import Skeleton
from storage.read.selected_cache import Asked
from storage.read.tree import Tree
from storage.read.tree_cache import KeptTrees

_DAYS_OF_MONTH: Final = 31
_ETAG_OF_NOTHING: Final = blake2b(b"[]", digest_size=10).hexdigest()
Matches = Callable[[str], bool]


class CachedGraphReader:
    """Implements app.ports.graph.GraphReader. A tree is not one snapshot: each of its fragments is fresh."""

    def __init__(
        self,
        fragments: FragmentLoader,
        lists: ListLoader,
        kept: KeptTrees,
        keyspace: Keyspace,
        clock: Clock,
        *,
        node_budget: int,
        retention_months: int | None,
    ) -> None:
        self._fragments = fragments
        self._lists = lists
        self._kept = kept
        self._keys = keyspace
        self._clock = clock
        self._budget = node_budget
        self._retention_months = retention_months

    def recall(
        self, entity_id: int, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        if selection is not None:
            asked = Asked(entity_id, depth, self._text(since), selection)
            kept = self._kept.selected
            return kept.get(asked) or kept.make(asked, budget=self._budget)
        skeleton = self._recalled(entity_id, depth)
        return None if skeleton is None else self._kept.answer(skeleton, depth, self._from(since))

    def recall_by_property(
        self,
        path: str,
        value: str,
        *,
        depth: int,
        since: datetime | None,
        limit: int,
        after: int,
        selection: Selection | None = None,
    ) -> Answer | None:
        name = lookups.cacheable(path, value)
        found = None if name is None else self._lists.recall(self._keys.lookup(name))
        if name is None or found is None or not found.answers(name.path, value) or found.ids is None:
            return None
        ids = _page(found.ids, after, limit)
        answers = []
        for entity_id in ids[:limit]:
            answer = self.recall(entity_id, depth=depth, since=since, selection=selection)
            if answer is None:
                return None
            answers.append(answer)
        next_after = _next_after(ids, limit)
        return Answer(
            body=b"[%b]" % b",".join([answer.body or b"" for answer in answers]),
            cache="hit",
            etag=_etag_of_page([answer.etag for answer in answers], has_next=next_after is not None),
            upper=latest([found.upper, *[answer.upper for answer in answers]]),
            read_at=min([found.read_at, *[answer.read_at for answer in answers]]),
            next_after=next_after,
        )

    async def graph(
        self,
        entity_id: int,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Matches | None = None,
        selection: Selection | None = None,
    ) -> Answer | None:
        reading = Reading(token=token)
        if selection is not None:
            return await self._selected_one(
                (entity_id,), depth, since, reading, matches=matches, selection=selection
            )
        return await self._one(entity_id, depth, since, reading, matches)

    async def by_reference(
        self,
        key: EntityKey,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Matches | None = None,
        selection: Selection | None = None,
    ) -> Answer | None:
        reading = Reading(token=token)
        ask = graph_queries.id_of(key)
        question = ListQuestion(self._keys.reference(key), key.type, key.reference, ask)
        ids = await self._listed(question, reading)
        if ids is None:
            ids = await self._lists.uncached(ask, reading)
        if selection is not None:
            return await self._selected_one(ids, depth, since, reading, matches=matches, selection=selection)
        for entity_id in ids:
            answer = await self._one(entity_id, depth, since, reading, matches)
            if answer is not None:
                return answer
        return None

    async def batch(
        self,
        ids: Sequence[int],
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        selection: Selection | None = None,
    ) -> Answer:
        reading = Reading(token=token)
        cut = self._from(since)
        bodies: list[bytes | None]
        if selection is None:
            skeletons = await self._skeletons(ids, depth, reading)
            bodies = [
                None if skeleton is None else skeleton.body(skeleton.first_row(cut)) for skeleton in skeletons
            ]
        else:
            bodies = await self._selected(ids, depth, since, reading, selection)
        missing = frozenset(i for i, body in zip(ids, bodies, strict=True) if body is None)
        body = b"[" + b",".join(body or b"null" for body in bodies) + b"]"
        return replace(_answer(reading, body, ""), missing=missing)

    async def by_property(
        self,
        path: str,
        value: str,
        *,
        depth: int,
        since: datetime | None,
        limit: int,
        after: int,
        token: int = 0,
        matches: Matches | None = None,
        selection: Selection | None = None,
    ) -> Answer:
        reading = Reading(token=token)
        ids = await self._ids(path, value, after, limit, reading)
        if selection is not None:
            return await self._selected_page(
                ids, depth, since, reading, limit=limit, matches=matches, selection=selection
            )
        skeletons = await self._skeletons(ids[:limit], depth, reading)
        shown = [skeleton for skeleton in skeletons if skeleton is not None]
        return self._list(shown, depth, since, reading, matches, next_after=_next_after(ids, limit))

    async def _ids(self, path: str, value: str, after: int, limit: int, reading: Reading) -> list[int]:
        """Those of one page, and one more where another page follows."""
        name = lookups.cacheable(path, value)
        if name is not None:
            ask = graph_queries.ids_with(name.path, value, after=0, limit=MAX_CACHED_IDS + 1)
            question = ListQuestion(self._keys.lookup(name), name.path, value, ask)
            ids = await self._listed(question, reading)
            if ids is not None:
                return _page(ids, after, limit)
        ask = graph_queries.ids_with(lookups.canonical_path(path), value, after=after, limit=limit + 1)
        return await self._lists.uncached(ask, reading)

    async def _listed(self, question: ListQuestion, reading: Reading) -> list[int] | None:
        """The ids of the question's list; None where there are too many, or its key holds another question's."""
        found = await self._lists.load(question, reading)
        return found.ids if found.answers(question.within, question.asked) else None

    async def _one(
        self, entity_id: int, depth: int, since: datetime | None, reading: Reading, matches: Matches | None
    ) -> Answer | None:
        (skeleton,) = await self._skeletons((entity_id,), depth, reading)
        if skeleton is None:
            return None
        first = self._from(since)
        etag = skeleton.etag(skeleton.first_row(first))
        if matches is not None and matches(etag):
            return _answer(reading, None, etag)
        return _answer(reading, self._kept.answer(skeleton, depth, first).body, etag)

    async def _selected(
        self,
        roots: Sequence[int],
        depth: int,
        since: datetime | None,
        reading: Reading,
        selection: Selection,
    ) -> list[bytes | None]:
        """The bodies of the roots, in order; None where there is no such entity."""
        return await selected.bodies(
            self._fragments,
            roots,
            reading,
            depth=depth,
            budget=self._budget,
            since=self._text(since),
            selection=selection,
        )

    async def _selected_one(
        self,
        roots: Sequence[int],
        depth: int,
        since: datetime | None,
        reading: Reading,
        *,
        matches: Matches | None,
        selection: Selection,
    ) -> Answer | None:
        for body in await self._selected(roots, depth, since, reading, selection):
            if body is not None:
                etag = selected.etag(body, depth, self._text(since), selection)
                return _answer(reading, None if matches is not None and matches(etag) else body, etag)
        return None

    async def _selected_page(
        self,
        ids: list[int],
        depth: int,
        since: datetime | None,
        reading: Reading,
        *,
        limit: int,
        matches: Matches | None,
        selection: Selection,
    ) -> Answer:
        found = await self._selected(ids[:limit], depth, since, reading, selection)
        shown = [body for body in found if body is not None]
        body = b"[" + b",".join(shown) + b"]"
        next_after = _next_after(ids, limit)
        text = self._text(since)
        etags = [selected.etag(each, depth, text, selection) for each in shown]
        etag = _etag_of_page(etags, has_next=next_after is not None)
        return _answer(reading, None if matches is not None and matches(etag) else body, etag, next_after)

    def _list(
        self,
        skeletons: Sequence[Skeleton],
        depth: int,
        since: datetime | None,
        reading: Reading,
        matches: Matches | None = None,
        *,
        next_after: int | None,
    ) -> Answer:
        first = self._from(since)
        etag = _etag_of_page([s.etag(s.first_row(first)) for s in skeletons], has_next=next_after is not None)
        if matches is not None and matches(etag):
            return _answer(reading, None, etag, next_after)
        for skeleton in skeletons:
            reading.note(skeleton.upper, skeleton.read_at)
        bodies = [self._kept.answer(skeleton, depth, first).body or b"" for skeleton in skeletons]
        return _answer(reading, b"[" + b",".join(bodies) + b"]", etag, next_after)

    def _recalled(self, root: int, depth: int) -> Skeleton | None:
        skeleton = self._kept.skeleton(root, depth, 0)
        if skeleton is not None:
            return skeleton
        tree = Tree(root, depth=depth, budget=self._budget)
        fragments: dict[int, Fragment] = {}
        while not tree.done:
            if not self._fragments.recall(tree.frontier, fragments):
                return None
            tree.advance(fragments)
        return self._keep(tree, depth)

    async def _skeletons(self, roots: Sequence[int], depth: int, reading: Reading) -> list[Skeleton | None]:
        """The trees of the roots, in order; None where there is no such entity."""
        found = {root: self._kept.skeleton(root, depth, reading.token) for root in roots}
        missing = [root for root, skeleton in found.items() if skeleton is None]
        if missing:
            for tree in await self._walk(missing, depth, reading):
                if tree.root in tree.fragments:
                    found[tree.root] = self._keep(tree, depth)
        for skeleton in found.values():
            if skeleton is not None:
                reading.note(skeleton.upper, skeleton.read_at)
        return [found[root] for root in roots]

    def _keep(self, tree: Tree, depth: int) -> Skeleton:
        skeleton = Skeleton.of(tree, depth=depth)
        self._kept.keep(skeleton, depth)
        return skeleton

    async def _walk(self, roots: Sequence[int], depth: int, reading: Reading) -> list[Tree]:
        trees = [Tree(root, depth=depth, budget=self._budget) for root in roots]
        known, fragments = reading.known, reading.fragments
        hints: Iterable[int] = [node for root in roots for node in self._kept.walked(root, depth)]
        walking = trees
        while True:
            # Each once, in an order that all requests share; what came as a hint is there.
            wanted = {n for tree in walking for n in tree.frontier if n not in fragments and n not in known}
            if wanted:
                levels = max([tree.levels_left for tree in walking])
                await self._fragments.load(sorted(wanted), max(0, levels), reading, hints)
            for tree in walking:
                tree.advance(fragments)
            walking = [tree for tree in walking if tree.frontier]
            if not walking:
                return trees
            hints = [node for tree in walking for node in _hinted(tree, fragments)]

    def _from(self, since: datetime | None) -> datetime | None:
        """From which date on temporal data is shown: as asked, and as far as it is retained."""
        if self._retention_months is not None:
            # Of a day, so that an answer and its tag hold for one.
            today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
            oldest = today - timedelta(days=_DAYS_OF_MONTH * self._retention_months)
            since = oldest if since is None else max(since, oldest)
        return since

    def _text(self, since: datetime | None) -> bytes | None:
        """`_from`, as fragments spell dates."""
        first = self._from(since)
        return None if first is None else to_text(first).encode()


def _hinted(tree: Tree, fragments: Mapping[int, Fragment]) -> Iterable[int]:
    """What a walk that has just left its root is likely to need after the level before it."""
    root = fragments.get(tree.root)
    if tree.level == 1 and root is not None and root.below:
        return chain.from_iterable(root.below[: tree.levels_left])
    return ()


def _page(ids: list[int], after: int, limit: int) -> list[int]:
    """The ids of a page, and one more where another page follows."""
    return [i for i in ids if i > after][: limit + 1] if after else ids[: limit + 1]


def _next_after(ids: list[int], limit: int) -> int | None:
    return ids[limit - 1] if len(ids) > limit else None


def _etag_of_page(etags: Sequence[str], *, has_next: bool) -> str:
    if not etags:
        return _ETAG_OF_NOTHING
    if len(etags) == 1 and not has_next:
        return etags[0]  # of another URL than the tree's own
    more = "+" if has_next else ""
    return blake2b(f"{more} {' '.join(etags)}".encode(), digest_size=12).hexdigest()


def _answer(reading: Reading, body: bytes | None, etag: str, next_after: int | None = None) -> Answer:
    outcome = reading.outcome
    return Answer(
        body=body,
        etag=etag,
        cache=outcome,
        stored=outcome == "miss" and reading.stored and reading.verified,
        verified=reading.verified,
        next_after=next_after,
        upper=reading.upper,
        read_at=reading.read_at,
    )
