"""Ids become business keys, with as few questions to the primary as the stream allows."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from app.core.models import EntityKey
from app.core.pieces import Pieces
from app.ports.graph import EntityDirectory

_AT_ONCE: Final = 1_000  # names, which take less than a microsecond each
PLACEHOLDER_TYPE: Final = "unknown"  # of an entity whose type nobody told yet; it gets another one later


class References:
    """A bounded memory of business keys, the least recently used leaving first.

    What it holds is what the stream said last, else what the primary said: ids are never given twice, and business
    keys don't change but for those of placeholders. Of these only what the stream said is kept, and it counts where
    the stream is sure to go on from there: for subjects, until `forget_placeholders`. That an entity is not there is
    never remembered.
    """

    def __init__(self, directory: EntityDirectory, *, capacity: int = 200_000) -> None:
        self._directory = directory
        self._capacity = capacity
        self._keys: OrderedDict[int, EntityKey] = OrderedDict()
        # Those of `_keys` that are placeholders, so that to forget them does not walk over all others.
        self._placeholders: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys)

    async def resolve(
        self, ids: Iterable[int], *, told: Mapping[int, EntityKey], subjects: AbstractSet[int] = frozenset()
    ) -> dict[int, EntityKey]:
        """The business keys of those entities that exist, are remembered or are in `told`, which holds what the same
        window of the stream says.

        `subjects` are the entities whose every change passes here. A placeholder that is none of them may have been
        renamed elsewhere: the directory knows better, unless it is gone. One query at most, none where everything is
        known. Raises what the directory raises.
        """
        found = dict(told)
        missing = []
        async for piece in Pieces(list(set(ids) - told.keys()), items=_AT_ONCE):
            for entity_id in piece:
                key = self._keys.get(entity_id)
                if key is None or (key.type == PLACEHOLDER_TYPE and entity_id not in subjects):
                    missing.append(entity_id)
                if key is not None:
                    self._keys.move_to_end(entity_id)
                    found[entity_id] = key
        if missing:
            fetched = dict(await self._directory.keys_of(sorted(missing)))
            await self.remember(
                {number: key for number, key in fetched.items() if key.type != PLACEHOLDER_TYPE}
            )
            found |= fetched
        return found

    async def remember(self, keys: Mapping[int, EntityKey]) -> None:
        """Keep what the stream said."""
        async for piece in Pieces(list(keys.items()), items=_AT_ONCE):
            for entity_id, key in piece:
                self._keys[entity_id] = key
                self._keys.move_to_end(entity_id)
                if key.type == PLACEHOLDER_TYPE:
                    self._placeholders.add(entity_id)
                else:
                    self._placeholders.discard(entity_id)
        while len(self._keys) > self._capacity:
            entity_id, _ = self._keys.popitem(last=False)
            self._placeholders.discard(entity_id)

    def forget_placeholders(self) -> None:
        """Somebody else has read a part of the stream, and renames may stand in it."""
        for entity_id in self._placeholders:
            del self._keys[entity_id]
        self._placeholders.clear()
