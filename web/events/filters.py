"""What of the events a client follows: some entities, or those of one tree as it is."""

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from app.core.domain_event import DomainEvent, gone, subject_of
from app.core.models import EntityKey
from app.core.selection import Fields, Selection
from web.problems import ProblemError
from web.services import WebServices

_PAUSE_S: Final = 0.2  # between looks at one tree
_RESHAPING: Final = frozenset(
    ("relationship_created", "relationship_deleted", "entity_created", "entity_deleted", "entity_erased")
)
_EDGES: Final = Selection(fields=Fields(members=frozenset(("edges",))))


class Interest(Protocol):
    """`may_want` is true, too, where only `settle` can tell."""

    def may_want(self, event: DomainEvent) -> bool: ...

    async def settle(self, event: DomainEvent) -> bool:
        """Whether it is wanted. Raises ProfileError."""
        ...


class Entities:
    """Events of these types about these subjects; about all without any."""

    def __init__(self, subjects: frozenset[str] | None, types: frozenset[str]) -> None:
        self._subjects = subjects
        self._types = types

    def may_want(self, event: DomainEvent) -> bool:
        return event.type in self._types and (
            self._subjects is None or not self._subjects.isdisjoint(event.subjects)
        )

    async def settle(self, event: DomainEvent) -> bool:
        return self.may_want(event)


class Tree:
    """Events about the entities of one tree.

    After an event that may have changed it, the tree is read again as soon as an event comes that is about none of
    those who were in it. What was told of an entity before it joined the tree is not wanted. When the root is gone,
    the last tree stands.
    """

    def __init__(
        self,
        entity_id: int,
        *,
        depth: int,
        types: frozenset[str],
        services: WebServices,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._entity_id = entity_id
        self._depth = depth
        self._types = types
        self._services = services
        self._pause_s = pause_s
        self._subjects: frozenset[str] = frozenset()
        self._outdated = False
        self._next_look = 0.0  # of the loop's clock

    def may_want(self, event: DomainEvent) -> bool:
        known = not self._subjects.isdisjoint(event.subjects)
        if known and event.type in _RESHAPING:
            self._outdated = True
        return (known or self._outdated) and event.type in self._types

    async def settle(self, event: DomainEvent) -> bool:
        if self._subjects.isdisjoint(event.subjects) and self._outdated:
            await self.look()
        return not self._subjects.isdisjoint(event.subjects)

    async def exists(self) -> bool:
        """Look for the first time; false where there is no such entity."""
        found = await self.look()
        self._outdated = True  # the stream has not begun yet
        return found

    async def look(self) -> bool:
        """Read the tree, not more often than bearable; false where there is no such entity."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._next_look - clock())
        services = self._services
        self._outdated = False
        async with services.looks:
            answer = await services.reader.graph(
                self._entity_id,
                depth=self._depth,
                since=None,
                token=await services.position() or 0,
                selection=_EDGES,
            )
        self._next_look = clock() + self._pause_s
        if answer is None or answer.body is None:
            return False
        self._subjects = frozenset(_subjects(_TREE.decode(answer.body)))
        return True


class _Edge(msgspec.Struct, frozen=True):
    entity: "_Node"


class _Node(msgspec.Struct, frozen=True):
    id: int
    type: str
    reference: str
    edges: list[_Edge] = []


_TREE: Final = msgspec.json.Decoder(_Node)


def _subjects(node: _Node) -> Iterator[str]:
    yield subject_of(node.type, node.reference)
    yield gone(node.id)
    for edge in node.edges:
        yield from _subjects(edge.entity)


async def of_entity(entity: int | EntityKey | None, types: frozenset[str], services: WebServices) -> Entities:
    """Events about one entity, by its key or id, also one that was merged into it.

    Raises ProblemError where no entity has the id.
    """
    if entity is None:
        return Entities(None, types)
    if isinstance(entity, EntityKey):
        return Entities(frozenset((subject_of(*entity),)), types)
    key = (await services.directory.keys_of([entity])).get(entity)
    if key is None:
        entity = (await services.entities.moved_to([entity])).get(entity, entity)
        key = (await services.directory.keys_of([entity])).get(entity)
    if key is None:
        raise ProblemError("not-found", "There is no entity with this id.")
    return Entities(frozenset((subject_of(*key), gone(entity))), types)
