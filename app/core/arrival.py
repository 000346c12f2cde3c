"""When the request that the current task works for has arrived: what it asks of others is served in that order."""

from contextvars import ContextVar
from typing import Final

# In seconds of the clock's `monotonic`. None: nobody waits for an answer, as in a background task or a stream. A task
# begins with that of the one that made it.
ARRIVED_AT: Final[ContextVar[float | None]] = ContextVar("arrived_at", default=None)
