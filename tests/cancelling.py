"""Cancels a coroutine at its n-th await, wherever that is."""

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelledAt(Generic[T]):
    """Await it in a task of its own; the task is cancelled when the coroutine waits for the `at`-th time."""

    def __init__(self, inner: Coroutine[Any, Any, T], at: int) -> None:
        self._inner = inner
        self._at = at
        self.awaits = 0

    def __await__(self) -> Generator[Any, Any, T]:
        go_on = partial(self._inner.send, None)
        while True:
            try:
                waits_for = go_on()
            except StopIteration as end:
                result: T = end.value
                return result
            self.awaits += 1
            if self.awaits == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's, whatever it is
                go_on = partial(self._inner.throw, error)
            else:
                go_on = partial(self._inner.send, None)


async def cancelled_at(inner: Coroutine[Any, Any, object], at: int) -> bool:
    """Whether it was cancelled there; false when it ended before."""
    awaited = CancelledAt(inner, at)

    async def run() -> object:
        return await awaited

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()
