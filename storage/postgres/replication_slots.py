"""The replication slot from which changes are captured, asked on the primary."""

import asyncpg

from app.core.errors import FatalError, TransientError
from app.ports.capture import SlotState
from storage.postgres.errors import translated
from storage.postgres.queries import query


class PostgresSlots:
    """Implements app.ports.capture.ReplicationSlots."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def state(self, name: str) -> SlotState | None:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                row = await connection.fetchrow(query("slot_state"), name)
        if row is None:
            return None
        # A slot that is lost has no position that could be read on; PostgreSQL may have dropped either.
        confirmed = row["confirmed"]
        return SlotState(
            active=row["active"],
            wal_status=row["wal_status"] or "lost",
            flushed=row["flushed"],
            confirmed=confirmed,
            lag_bytes=max(0, row["flushed"] - confirmed) if confirmed is not None else row["flushed"],
            retained_bytes=row["retained_bytes"],
            safe_bytes=row["safe_bytes"],
        )

    async def create(self, name: str) -> int:
        try:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    position: int = await connection.fetchval(query("create_slot"), name)
                    return position
        except TransientError as error:
            if isinstance(error.__cause__, asyncpg.ConfigurationLimitExceededError):
                raise FatalError(
                    "PostgreSQL has no replication slot left: drop one that nobody uses (pg_replication_slots) "
                    "or raise max_replication_slots."
                ) from error
            raise

    async def drop(self, name: str) -> bool:
        try:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    return bool(await connection.fetchval(query("drop_slot"), name))
        except TransientError as error:
            if isinstance(error.__cause__, asyncpg.ObjectInUseError):
                raise TransientError(
                    f"The slot {name} is in use: stop the connector first (`python -m app connector delete`)."
                ) from error
            raise
