"""How far replicas are behind the primary, looked at every few seconds.

The lag in seconds is for how long the replica lacks what it lacks, by this process's clock: neither the servers'
clocks nor a quiet database make it grow. Its resolution is the interval.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from app.core.clock import Clock
from app.core.errors import FatalError, TransientError
from app.observability.store_state import PoolFigures, ReplicaFigures
from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.postgres.replicas import Replica

WATCH_S: Final = 2.0
_TIMEOUT_S: Final = 1.0
_REMEMBERED: Final = 1_800  # an hour; a replica further behind shows that


class _Lag(NamedTuple):
    size_bytes: int
    seconds: float


class ServerWatch:
    """Asks the primary and each replica for its position."""

    def __init__(self, primary: asyncpg.Pool, replicas: Sequence[Replica], clock: Clock) -> None:
        self._primary = primary
        self._replicas = replicas
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)  # when the primary was where
        self._lags: dict[str, _Lag] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_S)

    async def look(self) -> None:
        """Look once. Raises nothing; who does not answer has no lag."""
        # Replicas first: what the primary flushes meanwhile counts as lag, and never the other way about.
        positions = await asyncio.gather(*(_position(replica.pool) for replica in self._replicas))
        flushed = await _position(self._primary)
        if flushed is None:
            self._lags.clear()
            return
        if self._seen and flushed < self._seen[-1][1]:
            self._seen.clear()  # another timeline
        now = self._clock.monotonic()
        self._seen.append((now, flushed))
        self._lags = {
            replica.name: self._lag(replayed, now)
            for replica, replayed in zip(self._replicas, positions, strict=True)
            if replayed is not None
        }

    def _lag(self, replayed: int, now: float) -> _Lag:
        _, flushed = self._seen[-1]
        since = next((at for at, position in self._seen if position > replayed), now)
        return _Lag(max(0, flushed - replayed), now - since)

    def figures(self) -> list[ReplicaFigures]:
        """As seen last."""
        found = []
        for replica in self._replicas:
            lag = self._lags.get(replica.name)
            found.append(
                ReplicaFigures(
                    name=replica.name,
                    used=replica.follows and replica.breaker.closed,
                    lag_bytes=None if lag is None else lag.size_bytes,
                    lag_s=None if lag is None else lag.seconds,
                )
            )
        return found


def pool_figures(name: str, pool: asyncpg.Pool) -> PoolFigures:
    """The pool's connections now."""
    return PoolFigures(name=name, open=pool.get_size(), idle=pool.get_idle_size(), limit=pool.get_max_size())


async def _position(pool: asyncpg.Pool) -> int | None:
    try:
        with translated():
            async with asyncio.timeout(_TIMEOUT_S), pool.acquire(timeout=_TIMEOUT_S) as connection:
                row = await connection.fetchrow(query("ping"))
    except (TransientError, FatalError):
        return None
    assert row is not None  # noqa: S101 - scalars are one row
    position: int = row["position"]
    return position
