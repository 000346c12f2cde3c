"""Ids become business keys, with as few questions to the primary as the stream allows."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from app.models import EntityKey
from app.ports import EntityDirectory

PLACEHOLDER_TYPE: Final = "unknown"  # of an entity whose type nobody told yet; it gets another one later


class References:
    """A bounded memory of business keys, the least recently used leaving first.

    What it holds can't become wrong: ids are never given twice and business keys don't change, but for those
    of placeholders, which it does not keep. That an entity is not there is never remembered either.
    """

    def __init__(self, directory: EntityDirectory, *, capacity: int = 200_000) -> None:
        self._directory = directory
        self._capacity = capacity
        self._keys: OrderedDict[int, EntityKey] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    async def resolve(self, ids: Iterable[int], *, told: dict[int, EntityKey]) -> dict[int, EntityKey]:
        """The business keys of those entities that exist or are in `told`.

        `told` holds what the same window of the stream says; it is remembered, but of a placeholder the
        directory knows better. One query at most, none where everything is known. Raises what the directory
        raises.
        """
        found = dict(told)
        missing = []
        for entity_id in set(ids):
            stated = told.get(entity_id)
            if stated is not None and stated.type != PLACEHOLDER_TYPE:
                continue
            key = self._keys.get(entity_id)
            if key is None:
                missing.append(entity_id)
            else:
                self._keys.move_to_end(entity_id)
                found[entity_id] = key
        self._remember(told)
        if missing:
            fetched = dict(await self._directory.keys_of(sorted(missing)))
            self._remember(fetched)
            found |= fetched
        return found

    def _remember(self, keys: dict[int, EntityKey]) -> None:
        for entity_id, key in keys.items():
            if key.type != PLACEHOLDER_TYPE:
                self._keys[entity_id] = key
                self._keys.move_to_end(entity_id)
        while len(self._keys) > self._capacity:
            self._keys.popitem(last=False)
