"""Rights of the database's roles, and the logins that are members of them (storage/sql/roles.sql)."""

import asyncio
import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from app.core.errors import FatalError
from storage.postgres.errors import translated
from storage.postgres.queries import query

_ATTEMPTS: Final = 40
_PAUSE_S: Final = 0.5
_SCRAM_ITERATIONS: Final = 4096  # PostgreSQL's own number


class DatabaseRole(StrEnum):
    """Roles without a login; `make_profile_roles` (migration 0028) makes them."""

    OWNER = "user_profile_owner"
    READER = "user_profile_reader"
    WRITER = "user_profile_writer"
    CDC = "user_profile_cdc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who connects with a DSN."""

    name: str
    password: str

    @classmethod
    def of(cls, dsn: str) -> "Login":
        """Raises FatalError where the DSN names no user or no password."""
        parts = urlsplit(dsn)
        if not parts.username or not parts.password:
            raise FatalError("A DSN of a role has to name a user and a password.")
        return cls(name=unquote(parts.username), password=unquote(parts.password))


async def grant_rights(connection: asyncpg.Connection) -> list[str]:
    """Make the roles, give them the schema and their rights; idempotent.

    Returns a sentence for each step that this login may not take. A schema without the roles is left as it is.
    """
    if not await connection.fetchval(query("knows_roles")):
        return []
    refused = [row["sentence"] for row in await connection.fetch(query("make_roles"))]
    statements = [row["statement"] for row in await connection.fetch(query("not_owned"))]
    # The owner first: it is who grants.
    for statement in statements:
        refused += await _patiently(connection, statement)
    rights = await connection.fetch(query("rights"))
    for row in rights:
        if not row["granted"]:
            refused += await _patiently(connection, row["statement"])
    return refused


async def _patiently(connection: asyncpg.Connection, statement: str) -> list[str]:
    """Try for the lock again and again, rather than have readers wait behind it."""
    for _ in range(_ATTEMPTS):
        try:
            async with connection.transaction():
                await connection.execute("SET LOCAL lock_timeout = '500ms'")
                await connection.execute(statement)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(_PAUSE_S)
        except asyncpg.InsufficientPrivilegeError as error:
            return [f"`{statement}` is refused ({error}): let an administrator run it."]
        else:
            return []
    return [f"`{statement}` found no moment without another lock: migrate again."]


async def make_login(dsn: str, login: Login, role: DatabaseRole) -> None:
    """Make a login, or give it this password, as a member of the role.

    `dsn` is an administrator's. The server is sent the verifier of the password, so no log of its statements can tell
    it. Raises TransientError (not reachable) or FatalError (not allowed, or the role is missing).
    """
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        with translated():
            exists = await connection.fetchval(query("login_exists"), login.name)
            replicates = role is DatabaseRole.CDC
            statement = await connection.fetchval(
                query("login_statement"), login.name, scram_verifier(login.password), exists, replicates
            )
            await connection.execute(statement)
            member = await connection.fetchval(query("membership_statement"), str(role), login.name)
            await connection.execute(member)
    finally:
        await connection.close()


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of a password (RFC 5803); `salt` is random unless given."""
    salt = os.urandom(16) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"
