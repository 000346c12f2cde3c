"""How much a step handles before the other tasks of its event loop take a turn: counts, never times."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Self


class Turns:
    """While it is entered, the turns of the loop are numbered; `note` is called by what a step does with an item."""

    def __init__(self) -> None:
        self._number = 0
        self._items: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._count())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _count(self) -> None:
        while True:
            self._number += 1
            await asyncio.sleep(0)

    def note(self, items: int = 1, size: int = 0) -> None:
        self._items[self._number] += items
        self._bytes[self._number] += size

    def noting(self, function: Callable[..., Any], size: Callable[..., int] = lambda *_: 0) -> Any:
        """The function, whose calls are noted."""

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.note(size=size(*args))
            return function(*args, **kwargs)

        return noted

    @property
    def items(self) -> int:
        """All that were noted."""
        return self._items.total()

    @property
    def most_items(self) -> int:
        """Within one turn."""
        return max(self._items.values(), default=0)

    @property
    def most_bytes(self) -> int:
        """Within one turn."""
        return max(self._bytes.values(), default=0)
