"""What can happen to an entity that has relationships and points, in transactions that others come between.

Merges and erasures are the service's own statements.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from app.core.models import EntityKey
from storage.postgres.queries import query
from storage.write.erasure_ledger import ErasureLedger

Shape = Callable[[Any, random.Random, Sequence[int], str], Awaitable[None]]

_LEDGER: Final = ErasureLedger("development")  # under the workers' key
_POINT: Final = (
    "INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, "
    "idempotency_key) VALUES ($1, $2, 'month', '2025-10-01Z', '2025-10-05T14:59:59Z', $3, $4)"
)
_EDGE: Final = (
    "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, metadata) VALUES ($1, $2, $3, $4)"
)


async def entity(connection: Any, reference: str, kind: str = "user", properties: str = "{}") -> int:
    """A new one."""
    return await connection.fetchval(  # type: ignore[no-any-return]
        "INSERT INTO entities (type, reference, properties) VALUES ($1, $2, $3) RETURNING id",
        kind,
        reference,
        properties,
    )


async def add_point(connection: Any, number: int, key: str) -> None:
    await connection.execute(_POINT, number, key, '{"n": 1}', f"{number}:{key}:month:2025-10")


async def add_edge(
    connection: Any, left: int, right: int, kind: str = "knows", metadata: str | None = None
) -> None:
    await connection.execute(_EDGE, left, right, kind, metadata)


async def is_renamed(connection: Any, chance: random.Random, shared: Sequence[int], name: str) -> None:
    """A placeholder gets its type, and then another reference, with edges and points in between."""
    number = await entity(connection, name, "unknown")
    await add_edge(connection, number, chance.choice(shared))
    await _pause(chance)
    await connection.execute("UPDATE entities SET type = 'person' WHERE id = $1", number)
    await add_point(connection, number, "tpv")
    await _pause(chance)
    async with connection.transaction():
        await connection.execute("UPDATE entities SET reference = reference || '-new' WHERE id = $1", number)
        await connection.execute(
            "UPDATE temporal_properties SET value = '{\"n\": 2}' WHERE entity_id = $1", number
        )


async def edges_move(connection: Any, chance: random.Random, shared: Sequence[int], name: str) -> None:
    """Either end of a relationship becomes another entity, where it was removed too."""
    one, other = await entity(connection, f"{name}-1"), await entity(connection, f"{name}-2")
    await add_edge(connection, one, shared[0], "left")
    await add_edge(connection, one, shared[1], "right", '{"role": "owner"}')
    await add_edge(connection, one, shared[2], "removed")
    await connection.execute(
        "UPDATE edges SET removed_at = now() WHERE left_entity_id = $1 AND relationship_type = 'removed'", one
    )
    await _pause(chance)
    async with connection.transaction():
        await connection.execute(
            "UPDATE edges SET left_entity_id = $2 WHERE left_entity_id = $1 AND relationship_type <> 'right'",
            one,
            other,
        )
        await connection.execute(
            "UPDATE edges SET right_entity_id = $2 WHERE left_entity_id = $1", one, shared[3]
        )


async def is_merged(connection: Any, chance: random.Random, shared: Sequence[int], name: str) -> None:
    """A placeholder with edges in both directions goes into the typed entity of its reference."""
    placeholder = await entity(connection, name, "unknown")
    await add_edge(connection, placeholder, chance.choice(shared), metadata='{"role": "owner"}')
    await add_edge(connection, chance.choice(shared), placeholder)
    await _pause(chance)
    async with connection.transaction():
        typed = await entity(connection, name)
        await connection.fetch(query("move_edges"), [placeholder], [typed])
        await connection.execute(query("drop_placeholders"), [placeholder], [typed])


async def is_erased(connection: Any, chance: random.Random, shared: Sequence[int], name: str) -> None:
    """With all that is about it."""
    number = await entity(connection, name, properties='{"name": {"value": "secret"}}')
    await add_edge(connection, number, chance.choice(shared), metadata='{"role": "secret"}')
    await add_edge(connection, chance.choice(shared), number, metadata='{"role": "secret"}')
    await add_point(connection, number, "tpv")
    await _pause(chance)
    subject = _LEDGER.subject(EntityKey("user", name))
    by_reference, by_id = _LEDGER.subject_of_reference(name), _LEDGER.subject_of_id(number)
    async with connection.transaction():
        await connection.execute(query("mark_erased"), number, subject)
        await connection.fetch(
            query("erase_entity"), number, subject, _LEDGER.fingerprint, by_reference, by_id
        )


async def is_deleted(connection: Any, chance: random.Random, shared: Sequence[int], name: str) -> None:
    """Its edges and points change, and end before it and after it."""
    number = await entity(connection, name)
    await add_edge(connection, number, chance.choice(shared))
    await add_edge(connection, number, chance.choice(shared), "likes")
    for key in ("tpv", "visits"):
        await add_point(connection, number, key)
    await _pause(chance)
    await connection.execute(
        'UPDATE edges SET metadata = \'{"role": "guest"}\' WHERE left_entity_id = $1', number
    )
    await connection.execute(
        "DELETE FROM temporal_properties WHERE entity_id = $1 AND key = 'visits'", number
    )
    await _pause(chance)
    async with connection.transaction():
        await connection.execute("DELETE FROM entities WHERE id = $1", number)
        await connection.execute("DELETE FROM edges WHERE left_entity_id = $1", number)
    await connection.execute("DELETE FROM temporal_properties WHERE entity_id = $1", number)


SHAPES: Final[Sequence[Shape]] = (is_renamed, edges_move, is_merged, is_erased, is_deleted)


async def _pause(chance: random.Random) -> None:
    """Others commit, and windows end."""
    await asyncio.sleep(chance.uniform(0, 0.1))
