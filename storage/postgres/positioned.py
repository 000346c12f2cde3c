"""A question to one connection, answered with the positions of the server around it."""

from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from storage.postgres.pools import Connection
from storage.postgres.queries import query

T = TypeVar("T")


class Moment(NamedTuple):
    """A position, and then the oldest transaction that ran and the first that had not begun."""

    position: int
    oldest: int
    newest: int


class Reached(NamedTuple, Generic[T]):
    """A result and the positions around it. `moment`: that of the position before it, and of its transactions."""

    result: T
    before: int
    after: int
    moment: Moment | None = None


Ask = Callable[[Connection, int], Awaitable[Reached[T] | None]]


async def moment(connection: Connection) -> Moment:
    """How far the server is, and which transactions run there."""
    row = await connection.fetchrow(query("wal_moment"))
    assert row is not None  # noqa: S101 - a function without a set is one row
    return Moment(row["reached"], row["oldest"], row["newest"])


async def position(connection: Connection) -> int:
    """How far the server is."""
    found: int = await connection.fetchval(query("wal_position"))
    return found
