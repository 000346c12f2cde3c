"""Graph reads: trees put together from fragments, a level at a time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice, takewhile

from msgspec.structs import replace

from app.core.clock import Clock
from app.core.consistency_token import latest
from app.core.dates import kept_from
from app.core.models import EntityKey
from app.core.selection import Selection
from app.ports.graph import Answer
from storage.cache import lookups
from storage.cache.id_lists import MAX_CACHED_IDS
from storage.cache.keyspace import Keyspace
from storage.read import answers, graph_queries
from storage.read.budget import LARGE, Budget, Cost
from storage.read.fragment_loader import MOST_HINTS, FragmentLoader
from storage.read.id_list_loader import ListLoader, ListQuestion
from storage.read.outcome import Reading
from storage.read.read_request import Matches, ReadRequest
from storage.read.rendered_tree import Skeleton
from storage.read.selected_cache import Asked, SelectedAnswer
from storage.read.selected_reads import SelectedReads
from storage.read.tree import Tree
from storage.read.tree_cache import KeptTrees
from storage.read.walking import apart, walk


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
        budget: Budget,
        retention_months: int | None,
    ) -> None:
        self._fragments = fragments
        self._lists = lists
        self._kept = kept
        self._keys = keyspace
        self._clock = clock
        self._selected = SelectedReads(fragments, budget)
        self._budget = budget
        self._retention_months = retention_months

    def recall(
        self, entity_id: int, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        if selection is None:
            skeleton = self._recalled(entity_id, depth)
            return None if skeleton is None else self._recalled_answer(skeleton, depth, self._from(since))
        found = self._recall(entity_id, depth, since, selection)
        return None if found is None else found.answer

    def _recall(
        self, entity_id: int, depth: int, since: datetime | None, selection: Selection | None
    ) -> SelectedAnswer | None:
        """None where memory lacks a part of it, or where it would have to be made, and is large."""
        if selection is not None:
            asked = Asked(entity_id, depth, self._request(depth, since, None, selection).since, selection)
            kept = self._kept.selected
            return kept.get(asked) or kept.make(asked, budget=self._budget)
        skeleton = self._recalled(entity_id, depth)
        if skeleton is None:
            return None
        answer = self._recalled_answer(skeleton, depth, self._from(since))
        return None if answer is None else SelectedAnswer(answer, skeleton.cost)

    def _recalled_answer(self, skeleton: Skeleton, depth: int, first: datetime | None) -> Answer | None:
        if not skeleton.is_large:
            return self._kept.answer(skeleton, depth, first)
        if first is not None and skeleton.is_unranked:
            return None
        return self._kept.kept_answer(skeleton, depth, skeleton.first_row(first))

    def recall_by_reference(
        self, key: EntityKey, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        found = self._lists.recall(self._keys.reference(key))
        if found is None or not found.answers(key.type, key.reference) or not found.ids:
            return None
        recalled = self._recall(found.ids[0], depth, since, selection)
        if recalled is None:
            return None
        answer = recalled.answer
        upper, read_at = latest([found.upper, answer.upper]), min(found.read_at, answer.read_at)
        if (upper, read_at) == (answer.upper, answer.read_at):
            return answer  # with what was made of it before
        return replace(answer, upper=upper, read_at=read_at, memo=None)

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
        ids = answers.page(found.ids, after, limit)
        recalled, costs = [], []
        for entity_id in ids[:limit]:
            each = self._recall(entity_id, depth, since, selection)
            if each is None:
                return None
            recalled.append(each.answer)
            costs.append(each.cost)
        if len(costs) > 1 and self._budget.fitting(costs) < len(costs):
            return None
        bodies = [answer.body or b"" for answer in recalled]
        if sum(map(len, bodies)) > LARGE.size_bytes:  # the usual way joins it in a thread
            return None
        next_after = answers.next_after_of(ids, limit)
        return Answer(
            body=b"[%b]" % b",".join(bodies),
            cache="hit",
            etag=answers.etag_of_page([answer.etag for answer in recalled], has_next=next_after is not None),
            upper=latest([found.upper, *[answer.upper for answer in recalled]]),
            read_at=min([found.read_at, *[answer.read_at for answer in recalled]]),
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
        reading, request = Reading(token=token), self._request(depth, since, matches, selection)
        if selection is not None:
            return await self._selected.first((entity_id,), request, selection, reading)
        return await self._one(entity_id, request, reading)

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
        reading, request = Reading(token=token), self._request(depth, since, matches, selection)
        ask = graph_queries.id_of(key)
        question = ListQuestion(self._keys.reference(key), key.type, key.reference, ask)
        ids = await self._listed(question, reading)
        if ids is None:
            ids = await self._lists.uncached(ask, reading)
        if selection is not None:
            return await self._selected.first(ids, request, selection, reading)
        for entity_id in ids:
            answer = await self._one(entity_id, request, reading)
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
        reading, request = Reading(token=token), self._request(depth, since, None, selection)
        roots = list(dict.fromkeys(ids))
        made: list[bytes | None]
        if selection is None:
            skeletons = await self._skeletons(roots, depth, reading)
            made = [None if each is None else await self._body(each, request.first) for each in skeletons]
        else:
            made = await self._selected.bodies(roots, request, selection, reading)
        if len(made) < len(roots):
            raise answers.too_much(ids.index(roots[len(made)]), len(ids))
        bodies = dict(zip(roots, made, strict=True))
        size = 0
        for number, entity_id in enumerate(ids):
            size += len(bodies[entity_id] or b"")
            if number and size > self._budget.size_bytes:
                raise answers.too_much(number, len(ids))
        missing = frozenset(i for i, body in bodies.items() if body is None)
        body = await answers.listed([bodies[i] or b"null" for i in ids])
        return replace(answers.answer_of(reading, body, ""), missing=missing)

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
        reading, request = Reading(token=token), self._request(depth, since, matches, selection)
        ids = await self._ids(path, value, after, limit, reading)
        if selection is not None:
            return await self._selected.page(ids, limit, request, selection, reading)
        skeletons = await self._skeletons(ids[:limit], depth, reading)
        shown = [skeleton for skeleton in skeletons if skeleton is not None]
        # Where the budget ends a page early, the next one begins there.
        next_after = answers.next_after_of(ids, min(limit, len(skeletons)))
        return await self._list(shown, request, reading, next_after=next_after)

    async def _ids(self, path: str, value: str, after: int, limit: int, reading: Reading) -> list[int]:
        """Those of one page, and one more where another page follows."""
        name = lookups.cacheable(path, value)
        if name is not None:
            ask = graph_queries.ids_with(name.path, value, after=0, limit=MAX_CACHED_IDS + 1)
            question = ListQuestion(self._keys.lookup(name), name.path, value, ask)
            ids = await self._listed(question, reading)
            if ids is not None:
                return answers.page(ids, after, limit)
        ask = graph_queries.ids_with(lookups.canonical_path(path), value, after=after, limit=limit + 1)
        return await self._lists.uncached(ask, reading)

    async def _listed(self, question: ListQuestion, reading: Reading) -> list[int] | None:
        """The ids of the question's list; None where there are too many, or its key holds another question's."""
        found = await self._lists.load(question, reading)
        return found.ids if found.answers(question.within, question.asked) else None

    async def _one(self, entity_id: int, request: ReadRequest, reading: Reading) -> Answer | None:
        (skeleton,) = await self._skeletons((entity_id,), request.depth, reading)
        if skeleton is None:
            return None
        first_row = await self._first_row(skeleton, request.first)
        etag = skeleton.etag(first_row)
        if request.is_known(etag):
            return answers.answer_of(reading, None, etag)
        answer = await self._answered(skeleton, request.depth, first_row)
        return answers.answer_of(reading, answer.body, etag)

    async def _first_row(self, skeleton: Skeleton, first: datetime | None) -> int:
        return await apart(skeleton.cost, skeleton.first_row, first)

    async def _body(self, skeleton: Skeleton, first: datetime | None) -> bytes:
        first_row = await self._first_row(skeleton, first)
        return await apart(skeleton.cost, skeleton.body, first_row)

    async def _answered(self, skeleton: Skeleton, depth: int, first_row: int) -> Answer:
        """The answer that is kept, or a new one."""
        kept = self._kept.kept_answer(skeleton, depth, first_row)
        if kept is not None:
            return kept
        body = await apart(skeleton.cost, skeleton.body, first_row)
        return self._kept.new_answer(skeleton, depth, first_row, body)

    async def _list(
        self, skeletons: Sequence[Skeleton], request: ReadRequest, reading: Reading, *, next_after: int | None
    ) -> Answer:
        rows = [await self._first_row(skeleton, request.first) for skeleton in skeletons]
        etags = [skeleton.etag(row) for skeleton, row in zip(skeletons, rows, strict=True)]
        etag = answers.etag_of_page(etags, has_next=next_after is not None)
        if request.is_known(etag):
            return answers.answer_of(reading, None, etag, next_after)
        for skeleton in skeletons:
            reading.note(skeleton.upper, skeleton.read_at)
        bodies = [
            (await self._answered(skeleton, request.depth, row)).body or b""
            for skeleton, row in zip(skeletons, rows, strict=True)
        ]
        return answers.answer_of(reading, await answers.listed(bodies), etag, next_after)

    def _recalled(self, root: int, depth: int) -> Skeleton | None:
        skeleton = self._kept.skeleton(root, depth, 0)
        if skeleton is not None:
            return skeleton
        tree = Tree(root, depth=depth, budget=self._budget)
        fragments = Reading().fragments
        while not tree.done:
            if not self._fragments.recall(tree.frontier, fragments):
                return None
            tree.advance(fragments)
            if tree.is_large:  # the usual way does it in pieces
                return None
        return self._keep(Skeleton.of(tree, depth=depth), depth)

    async def _skeletons(self, roots: Sequence[int], depth: int, reading: Reading) -> list[Skeleton | None]:
        """The trees of the first roots, in order, as many as the budget holds together; None where there is no entity.

        Roots are named once each.
        """
        found = {root: self._kept.skeleton(root, depth, reading.token) for root in roots}
        missing = [root for root, skeleton in found.items() if skeleton is None]
        if missing:
            walked = await self._walk(missing, depth, reading, found)
            for tree in walked:
                if tree.root in tree.fragments:
                    skeleton = await apart(tree.cost, partial(Skeleton.of, tree, depth=depth))
                    found[tree.root] = self._keep(skeleton, depth)
            for root in missing[
                len(walked) :
            ]:  # who is behind the first that had no room is not shown either
                del found[root]
        shown = [found[root] for root in takewhile(found.__contains__, roots)]
        shown = shown[: self._fitting(shown)]
        for each in shown:
            if each is not None:
                reading.note(each.upper, each.read_at)
        return shown

    def _fitting(self, skeletons: Iterable[Skeleton | None]) -> int:
        # A root that does not exist counts as it does in the walk that found so.
        return self._budget.fitting([Cost(nodes=1) if each is None else each.cost for each in skeletons])

    def _keep(self, skeleton: Skeleton, depth: int) -> Skeleton:
        self._kept.keep(skeleton, depth)
        return skeleton

    async def _walk(
        self, roots: Sequence[int], depth: int, reading: Reading, found: Mapping[int, Skeleton | None]
    ) -> list[Tree]:
        return await walk(
            self._fragments,
            [Tree(root, depth=depth, budget=self._budget) for root in roots],
            reading,
            self._budget,
            others={root: skeleton.cost for root, skeleton in found.items() if skeleton is not None},
            order=list(found),
            hints=list(
                islice((node for root in roots for node in self._kept.walked(root, depth)), MOST_HINTS)
            ),
        )

    def _from(self, since: datetime | None) -> datetime | None:
        """From which date on temporal data is shown: as asked, and as far as it is retained."""
        oldest = kept_from(self._clock.now(), self._retention_months)
        if oldest is None or since is None:
            return since or oldest
        return max(since, oldest)

    def _request(
        self, depth: int, since: datetime | None, matches: Matches | None, selection: Selection | None
    ) -> ReadRequest:
        return ReadRequest(depth, self._from(since), matches, selection)
