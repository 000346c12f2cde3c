"""When the request that the current task works for has arrived, and whose it is.

What it asks of others is served in the order of arrival, and in turns with what other keys ask.
"""

from contextvars import ContextVar
from typing import Final

# In seconds of the clock's `monotonic`. None: nobody waits for an answer, as in a background task or a stream. A task
# begins with that of the one that made it.
ARRIVED_AT: Final[ContextVar[float | None]] = ContextVar("arrived_at", default=None)
# The id of the request's API key. None: no key, or nobody who waits.
ASKER: Final[ContextVar[str | None]] = ContextVar("asker", default=None)
