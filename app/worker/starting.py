"""Servers that are starting beside a worker get some time."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.core.retry import RetryPolicy

T = TypeVar("T")

# 0.5 + 1 + 2 + 5 + 5 … seconds.
_STARTING: Final = RetryPolicy(attempts=12, first_pause_s=0.5, longest_pause_s=5.0)


async def wait_for(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """The first success. Raises FatalError where it does not come up."""
    return await _STARTING.run(f"{what} is not ready; connecting to it", attempt)
