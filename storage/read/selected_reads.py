"""Reads of a part of each entity (`fields`, `types`, `as_of`): loaded as whole trees are, chosen from and rendered."""

from collections.abc import Sequence

from app.core.selection import Selection
from app.ports.graph import Answer
from storage.read import answers, selected
from storage.read.budget import Budget
from storage.read.fragment_loader import FragmentLoader
from storage.read.outcome import Reading
from storage.read.read_request import ReadRequest


class SelectedReads:
    """Makes answers of what a `selection` leaves of trees; each costs its whole fragments."""

    def __init__(self, fragments: FragmentLoader, budget: Budget) -> None:
        self._fragments = fragments
        self._budget = budget

    async def bodies(
        self, roots: Sequence[int], request: ReadRequest, selection: Selection, reading: Reading
    ) -> list[bytes | None]:
        """Of the first roots, in order, as many as the budget holds together; None where there is no such entity."""
        return await selected.bodies(
            self._fragments,
            roots,
            reading,
            depth=request.depth,
            budget=self._budget,
            since=request.since,
            selection=selection,
        )

    async def first(
        self, roots: Sequence[int], request: ReadRequest, selection: Selection, reading: Reading
    ) -> Answer | None:
        """The tree of the first root that exists."""
        for body in await self.bodies(roots, request, selection, reading):
            if body is not None:
                etag = await selected.etag_apart(body, request.depth, request.since, selection)
                return answers.answer_of(reading, None if request.is_known(etag) else body, etag)
        return None

    async def page(
        self, ids: list[int], limit: int, request: ReadRequest, selection: Selection, reading: Reading
    ) -> Answer:
        """The trees of up to `limit` of these ids, of which there is one more where another page follows."""
        found = await self.bodies(ids[:limit], request, selection, reading)
        shown = [body for body in found if body is not None]
        next_after = answers.next_after_of(ids, min(limit, len(found)))
        depth, since = request.depth, request.since
        etags = [await selected.etag_apart(each, depth, since, selection) for each in shown]
        etag = answers.etag_of_page(etags, has_next=next_after is not None)
        body = None if request.is_known(etag) else await answers.listed(shown)
        return answers.answer_of(reading, body, etag, next_after)
