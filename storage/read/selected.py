"""Trees of a selection: put together from the same fragments as whole trees, each cut down first.

Properties are parsed as names and raw values, so that no digit is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, Self

import msgspec
import orjson

from app.core.dates import to_text
from app.core.selection import Fields, Selection
from storage.cache.fragments import Fragment
from storage.cache.keyspace import FORMAT_VERSION
from storage.cache.series import Series
from storage.read.budget import Budget, Cost
from storage.read.fragment_loader import FragmentLoader
from storage.read.outcome import Reading
from storage.read.tree import Tree
from storage.read.walking import apart, walk

_STUB_END: Final = b',"repeated":true}'


class _Head(msgspec.Struct):
    properties: dict[str, msgspec.Raw]
    created_at: msgspec.Raw
    updated_at: msgspec.Raw


_HEAD: Final = msgspec.json.Decoder(_Head)
_KEY: Final = msgspec.json.Decoder(str)


class _Chosen(Mapping[int, Fragment]):
    """The fragments of a reading, each with nothing but what is asked for."""

    def __init__(self, reading: Reading, selection: Selection) -> None:
        self._reading = reading
        self._selection = selection
        self._made: dict[int, Fragment] = {}

    def __getitem__(self, entity_id: int) -> Fragment:
        made = self._made.get(entity_id)
        if made is None:
            made = self._made[entity_id] = choose(self._reading.fragments[entity_id], self._selection)
        return made

    def __iter__(self) -> Iterator[int]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def __contains__(self, entity_id: object) -> bool:
        return entity_id in self._reading.fragments


async def bodies(
    load: FragmentLoader,
    roots: Sequence[int],
    reading: Reading,
    *,
    depth: int,
    budget: Budget,
    since: bytes | None,
    selection: Selection,
) -> list[bytes | None]:
    """The trees of the first roots, in order, as many as the budget holds together; None where there is no entity."""
    trees = [
        SelectedTree.of(root, depth, selection, budget=budget, whole=reading.fragments) for root in roots
    ]
    chosen = _Chosen(reading, selection)
    trees = await walk(load, trees, reading, budget, fragments=chosen, order=roots)
    # Roots that know each other show the same entities.
    shown: dict[int, Fragment] = {}
    for tree in trees:
        shown.update(tree.fragments)
    for fragment in shown.values():
        reading.note(fragment.upper, fragment.read_at)
    made = [await apart(tree.cost, tree.render, since) for tree in trees]
    return made[: budget.fitting(tree.cost for tree in trees)]


async def etag_apart(body: bytes, depth: int, since: bytes | None, selection: Selection) -> str:
    """As `etag`, by a thread where the body is large."""
    return await apart(Cost(size_bytes=len(body)), etag, body, depth, since, selection)


def etag(body: bytes, depth: int, since: bytes | None, selection: Selection) -> str:
    """Of the bytes and what was asked."""
    digest = blake2b(f"{FORMAT_VERSION} {depth} {since!r} {selection.canonical}\n".encode(), digest_size=12)
    digest.update(body)
    return digest.hexdigest()


def choose(fragment: Fragment, selection: Selection) -> Fragment:
    """The fragment with nothing but what is asked for; its head ends before `edges`, where these are not shown."""
    fields = selection.fields
    edges, total = fragment.edges, fragment.edges_total
    if not selection.follows:
        edges, total = (), 0
    elif selection.types is not None:
        openings = {b'{"type":%b,"entity":' % orjson.dumps(kind) for kind in selection.types}
        edges = tuple(edge for edge in edges if edge[0] in openings)
        # Of edges that the fragment has no room for, any may be of these types.
        total = len(edges) + fragment.edges_total - len(fragment.edges)
    return msgspec.structs.replace(
        fragment,
        head=fragment.head if fields is None else _head(fragment, fields),
        edges=edges,
        edges_total=total,
        temporal=_temporal(fragment.temporal, fields, selection.until),
    )


def _head(fragment: Fragment, fields: Fields) -> bytes:
    parts = [fragment.stub.removesuffix(_STUB_END)]
    whole = _HEAD.decode(fragment.head + b"]}")
    if fields.shows("properties"):
        members = b",".join(
            orjson.dumps(name) + b":" + bytes(value)
            for name, value in whole.properties.items()
            if fields.has_property(name)
        )
        parts.append(b',"properties":{' + members + b"}")
    if fields.shows("created_at"):
        parts.append(b',"created_at":' + bytes(whole.created_at))
    if fields.shows("updated_at"):
        parts.append(b',"updated_at":' + bytes(whole.updated_at))
    if fields.shows("edges"):
        parts.append(b',"edges":[')
    return b"".join(parts)


def _temporal(
    temporal: tuple[Series, ...], fields: Fields | None, until: datetime | None
) -> tuple[Series, ...]:
    if fields is not None:
        temporal = tuple(s for s in temporal if fields.has_series(_KEY.decode(s.opening.removesuffix(b":["))))
    if until is None:
        return temporal
    last = to_text(until).encode()
    return tuple(kept for series in temporal if (kept := series.until(last)) is not None)


class SelectedTree(Tree):
    """A tree whose entities show certain members alone."""

    def __init__(
        self,
        root: int,
        *,
        depth: int,
        budget: Budget,
        fields: Fields | None,
        whole: Mapping[int, Fragment] | None = None,
    ) -> None:
        """`whole` are the fragments that its own were made of: what is read counts, and not what is shown of it."""
        super().__init__(root, depth=depth, budget=budget)
        self.shows_edges = fields is None or fields.shows("edges")
        self.shows_temporal = fields is None or fields.shows("temporal_data")
        self._whole = whole or {}

    @classmethod
    def of(
        cls,
        root: int,
        depth: int,
        selection: Selection,
        *,
        budget: Budget,
        whole: Mapping[int, Fragment] | None = None,
    ) -> Self:
        """The walk that the selection needs: of the root alone, where no relationships are asked for."""
        depth = depth if selection.follows else 0
        return cls(root, depth=depth, budget=budget, fields=selection.fields, whole=whole)

    def _weight(self, fragment: Fragment) -> tuple[int, int]:
        return super()._weight(self._whole.get(fragment.id, fragment))

    def render(self, since: bytes | None) -> bytes | None:
        """The JSON object with temporal data from `since` on, or None where the root does not exist."""
        return self.written().joined(since) if self.root in self.fragments else None
