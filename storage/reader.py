"""Graph reads: trees put together from fragments, a level at a time."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from app.clock import Clock
from app.dates import to_text
from app.models import EntityKey
from app.ports import Answer
from app.selection import Selection
from storage import graph_queries, lookups, selected
from storage.answer_cache import AnswerCache, AnswerKey, KeptAnswer
from storage.assembly import Tree
from storage.fragment_loader import FragmentLoader
from storage.fragments import Fragment
from storage.keyspace import FORMAT_VERSION, Keyspace
from storage.list_loader import ListLoader, ListQuestion
from storage.lookup_lists import MAX_CACHED_IDS
from storage.reading import Reading

_DAYS_OF_MONTH: Final = 31
Matches = Callable[[str], bool]


class CachedGraphReader:
    """Implements app.ports.GraphReader. A tree is not one snapshot: each of its fragments is fresh."""

    def __init__(
        self,
        fragments: FragmentLoader,
        lists: ListLoader,
        answers: AnswerCache,
        keyspace: Keyspace,
        clock: Clock,
        *,
        node_budget: int,
        retention_months: int | None,
    ) -> None:
        self._fragments = fragments
        self._lists = lists
        self._answers = answers
        self._keys = keyspace
        self._clock = clock
        self._budget = node_budget
        self._retention_months = retention_months

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
        kept = await self._trees((entity_id,), depth, since, reading, matches, selection=selection)
        return None if kept is None else _answer(kept, reading, single=True)

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
        found = await self._lists.load(question, reading)
        if not found.ids:
            return None
        kept = await self._trees(tuple(found.ids), depth, since, reading, matches, selection=selection)
        return None if kept is None else _answer(kept, reading, single=True)

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
        trees: Sequence[Tree]
        if selection is None:
            trees, fragments = await self._walk(ids, depth, reading)
        else:
            trees, fragments = await self._walk_selected(ids, depth, reading, selection)
        cut = self._retained(since)
        bodies = [tree.render(fragments, cut) or b"null" for tree in trees]
        body = b"[" + b",".join(bodies) + b"]"
        _note(list(fragments.values()), reading)
        return Answer(
            body=body,
            cache=reading.outcome,
            verified=reading.verified,
            upper=reading.upper,
            etag="",
            missing=frozenset(root for root in ids if root not in fragments),
        )

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
        ids = await self._page(lookups.canonical_path(path), value, after, limit + 1, reading)
        page = tuple(ids[:limit])
        more = len(ids) > limit
        kept = None
        if page:
            kept = await self._trees(page, depth, since, reading, matches, more=more, selection=selection)
        return _answer(kept, reading, next_after=page[-1] if more else None)

    async def _page(self, path: str, value: str, after: int, limit: int, reading: Reading) -> list[int]:
        name = lookups.cacheable(path, value)
        if name is not None:
            ask = graph_queries.ids_with(path, value, after=0, limit=MAX_CACHED_IDS + 1)
            question = ListQuestion(self._keys.lookup(name), path, value, ask)
            found = await self._lists.load(question, reading)
            if found.asked == value and found.ids is not None:
                return [i for i in found.ids if i > after][:limit] if after else found.ids[:limit]
        ask = graph_queries.ids_with(path, value, after=after, limit=limit)
        return await self._lists.uncached(ask, reading)

    async def _trees(
        self,
        roots: tuple[int, ...],
        depth: int,
        since: datetime | None,
        reading: Reading,
        matches: Matches | None,
        *,
        more: bool = False,
        selection: Selection | None = None,
    ) -> KeptAnswer | None:
        """The trees of those roots that exist; None where none does. Their bodies are empty where the tag matches."""
        if selection is not None:
            return await self._selected(roots, depth, since, reading, matches, more=more, selection=selection)
        key = AnswerKey(roots, depth, self._retained(since), more)
        kept = self._answers.get(key, reading.token)
        if kept is not None:
            return kept
        trees, fragments = await self._walk(roots, depth, reading)
        trees = [tree for tree in trees if tree.root in fragments]
        if not trees:
            return None
        shown = list(
            {node: fragments[node] for tree in trees for node in tree.order if node in fragments}.values()
        )
        etag = _etag(key, trees, fragments)
        upper, read_at = _note(shown, reading)
        if matches is not None and matches(etag):
            return KeptAnswer([], etag, upper, read_at, shown)
        bodies = [tree.render(fragments, key.since) or b"" for tree in trees]
        self._answers.put(key, bodies, etag, shown)
        return KeptAnswer(bodies, etag, upper, read_at, shown)

    async def _selected(
        self,
        roots: tuple[int, ...],
        depth: int,
        since: datetime | None,
        reading: Reading,
        matches: Matches | None,
        *,
        more: bool,
        selection: Selection,
    ) -> KeptAnswer | None:
        """As `_trees`, of a selection; the tag is of the bodies."""
        trees, fragments = await self._walk_selected(roots, depth, reading, selection)
        cut = self._retained(since)
        bodies = [body for tree in trees if (body := tree.render(fragments, cut)) is not None]
        if not bodies:
            return None
        asked = f"{FORMAT_VERSION} {depth} {cut} {more} {selection.canonical}\n".encode()
        etag = blake2b(asked + b"\n".join(bodies), digest_size=12).hexdigest()
        shown = list(fragments.values())
        upper, read_at = _note(shown, reading)
        if matches is not None and matches(etag):
            bodies = []
        return KeptAnswer(bodies, etag, upper, read_at, shown)

    async def _walk_selected(
        self, roots: Sequence[int], depth: int, reading: Reading, selection: Selection
    ) -> tuple[list[selected.SelectedTree], dict[int, Fragment]]:
        return await selected.walk(
            self._fragments, roots, reading, depth=depth, budget=self._budget, selection=selection
        )

    async def _walk(
        self, roots: Sequence[int], depth: int, reading: Reading
    ) -> tuple[list[Tree], dict[int, Fragment]]:
        trees = [Tree(root, depth=depth, budget=self._budget) for root in roots]
        load, known = self._fragments.load, reading.known
        while True:
            wanted = {node for tree in trees for node in tree.frontier} - known
            if wanted:
                levels = max(tree.levels_left for tree in trees)
                await load(sorted(wanted), max(0, levels), reading)
            for tree in trees:
                tree.advance(reading.fragments)
            if all(tree.done for tree in trees):
                return trees, reading.fragments

    def _retained(self, since: datetime | None) -> datetime | None:
        if self._retention_months is None:
            return since
        # Of a day, so that an answer and its tag hold for one.
        today = self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        oldest = today - timedelta(days=_DAYS_OF_MONTH * self._retention_months)
        return oldest if since is None else max(since, oldest)


def _note(fragments: Sequence[Fragment], reading: Reading) -> tuple[int, float]:
    upper = max((fragment.upper for fragment in fragments), default=0)
    read_at = min((fragment.read_at for fragment in fragments), default=float("inf"))
    reading.upper = max(reading.upper, upper)
    reading.read_at = min(reading.read_at, read_at)
    return upper, read_at


def _etag(key: AnswerKey, trees: Sequence[Tree], fragments: dict[int, Fragment]) -> str:
    """Of the content and what was asked, so that it is the same on every worker and after a refill."""
    asked = f"{FORMAT_VERSION} {key.depth} {'' if key.since is None else to_text(key.since)} {'+' if key.more else ''}"
    digests = [
        fragments[node].digest if node in fragments else b"-" for tree in trees for node in (*tree.order, -1)
    ]
    return blake2b(asked.encode() + b"".join(digests), digest_size=12).hexdigest()


def _answer(
    kept: KeptAnswer | None, reading: Reading, *, single: bool = False, next_after: int | None = None
) -> Answer:
    body: bytes | None
    if kept is None:
        body, etag = b"[]", blake2b(b"[]", digest_size=12).hexdigest()
    else:
        reading.upper = max(reading.upper, kept.upper)
        reading.read_at = min(reading.read_at, kept.read_at)
        etag = kept.etag
        if not kept.trees:
            body = None
        elif single:
            body = kept.trees[0]
        else:
            body = b"[" + b",".join(kept.trees) + b"]"
    return Answer(
        body=body,
        etag=etag,
        cache=reading.outcome,
        stored=reading.outcome == "miss" and reading.stored and reading.verified,
        verified=reading.verified,
        next_after=next_after,
        upper=reading.upper,
        read_at=reading.read_at,
    )
