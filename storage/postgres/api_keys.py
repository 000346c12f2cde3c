"""API keys in PostgreSQL."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from app.core.api_keys import ApiKey, Rate, Scope
from app.core.signing import KEY_BYTES
from storage.postgres.errors import translated
from storage.postgres.queries import query

_KNOWN: Final = frozenset(map(str, Scope))


class PostgresKeys:
    """Implements app.core.api_keys.KeyStore on the primary, where a revocation counts at once.

    `writer` makes and revokes keys, and makes the key of signatures; without it, `pool` does.
    """

    def __init__(
        self, pool: asyncpg.Pool, *, acquire_timeout_s: float, writer: asyncpg.Pool | None = None
    ) -> None:
        self._pool = pool
        self._writer = writer or pool
        self._acquire_timeout_s = acquire_timeout_s

    async def all(self) -> Sequence[ApiKey]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                return [_key(row) for row in await connection.fetch(query("api_keys"))]

    async def add(
        self,
        *,
        key_id: str,
        digest: bytes,
        name: str,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
        rate: Rate | None,
    ) -> None:
        with translated():
            async with self._writer.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.execute(
                    query("add_api_key"),
                    key_id,
                    digest,
                    name,
                    sorted(scopes),
                    expires_at,
                    None if rate is None else rate.per_s,
                    None if rate is None else rate.burst,
                )

    async def add_first(
        self, *, key_id: str, digest: bytes, name: str, scopes: frozenset[Scope], rate: Rate
    ) -> bool:
        with translated():
            async with (
                self._writer.acquire(timeout=self._acquire_timeout_s) as connection,
                connection.transaction(),
            ):
                # A statement of its own: the next one's snapshot sees what the holder before has committed.
                await connection.execute(query("lock_first_api_key"))
                added = await connection.fetchval(
                    query("add_first_api_key"), key_id, digest, name, sorted(scopes), rate.per_s, rate.burst
                )
                return added is not None

    async def signing_key(self) -> bytes:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                found = await connection.fetchval(query("signing_key"))
            if found is None:
                async with self._writer.acquire(timeout=self._acquire_timeout_s) as connection:
                    await connection.execute(query("make_signing_key"), secrets.token_bytes(KEY_BYTES))
                    found = await connection.fetchval(query("signing_key"))
        return bytes(found)

    async def revoke(self, key_id: str) -> bool:
        with translated():
            async with self._writer.acquire(timeout=self._acquire_timeout_s) as connection:
                return await connection.fetchval(query("revoke_api_key"), key_id) is not None


def _key(row: asyncpg.Record) -> ApiKey:
    per_s, burst = row["rate_per_s"], row["rate_burst"]
    return ApiKey(
        id=row["id"],
        name=row["name"],
        digest=row["digest"],
        # A newer version, which may share the database during an upgrade, may know more of them.
        scopes=frozenset(Scope(each) for each in row["scopes"] if each in _KNOWN),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        rate=None if per_s is None else Rate(per_s=per_s, burst=burst),
    )
