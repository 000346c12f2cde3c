"""A question to one connection, answered with the positions of the server around it."""

from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from storage.postgres.pools import Connection
from storage.postgres.queries import query

T = TypeVar("T")


class Reached(NamedTuple, Generic[T]):
    """A result and the positions around it."""

    result: T
    before: int
    after: int


Ask = Callable[[Connection, int], Awaitable[Reached[T] | None]]


async def position(connection: Connection) -> int:
    """How far the server is."""
    found: int = await connection.fetchval(query("wal_position"))
    return found
