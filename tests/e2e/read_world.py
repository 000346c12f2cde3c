"""What the tests of reads under faults read: entities that stay as they are, and some that are written meanwhile."""

import random
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import asyncpg
import msgspec
import orjson

from app.config.settings import Settings
from app.core.models import Batch, EdgeRow
from storage.stores import Stores
from tests.rows import DAY0, edge, entity, point, prop

STILL: Final = 150
COLD: Final = 600
MOVING: Final = 40
_LONG: Final = "x" * 300  # a value that is too long to be cached


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A path, and the body that it has to give."""

    kind: str
    path: str
    body: bytes

    def problem(self, body: bytes, _at_least: int) -> str | None:
        """What is wrong with an answer."""
        return None if body == self.body else f"another body: {body[:300]!r}"


@dataclass(slots=True, kw_only=True)
class Moving:
    """An entity whose `n` only grows: `acknowledged` was answered with 202, `sent` may have been committed."""

    reference: str
    path: str
    acknowledged: int = 0
    sent: int = 0
    kind: str = "moving"

    def problem(self, body: bytes, at_least: int) -> str | None:
        """What is wrong with an answer to a request that began when `at_least` was acknowledged."""
        n = orjson.loads(body)["properties"]["n"]["value"]
        return None if at_least <= n <= self.sent else f"{n} of {at_least} to {self.sent}"


@dataclass(slots=True, kw_only=True)
class ReadWorld:
    """`hot` and `looked_up` are cached, `uncached` never is, each of `cold` is asked for once."""

    hot: list[Target] = field(default_factory=list)
    looked_up: list[Target] = field(default_factory=list)
    uncached: list[Target] = field(default_factory=list)
    cold: list[Target] = field(default_factory=list)
    moving: list[Moving] = field(default_factory=list)

    def choose(self, chance: random.Random) -> Target | Moving:
        """60 % by id, of which a tenth is written meanwhile; 20 % by property; 20 % that PostgreSQL is asked for."""
        draw = chance.random()
        if draw < 0.06:
            return chance.choice(self.moving)
        if draw < 0.6:
            return chance.choice(self.hot)
        if draw < 0.8:
            return chance.choice(self.looked_up)
        if draw < 0.9 and self.cold:
            return self.cold.pop()
        return chance.choice(self.uncached)


async def fill(settings: Settings) -> None:
    """Write the data set."""
    batch = Batch()
    for i in range(STILL):
        batch.entities.append(entity(f"s{i}"))
        batch.properties += [
            prop(f"s{i}", "email", f'"s{i}@example.org"'),
            prop(f"s{i}", "note", f'"{_LONG}{i}"'),
        ]
        batch.edges += [
            edge(f"s{i}", f"s{(i * 7 + 1) % STILL}"),
            EdgeRow("user", f"s{i}", "company", f"o{i % 12}", "works_at", None, DAY0),
        ]
        batch.temporal.append(point(f"s{i}", "spent", f'{{"cents": {i}}}'))
    batch.properties += [prop(f"c{i}", "n", str(i)) for i in range(COLD)]
    batch.properties += [prop(f"m{i}", "n", "0") for i in range(MOVING)]
    stores = await Stores.open(settings.model_copy(update={"cache_enabled": False}))
    try:
        await stores.writer.write(batch)
    finally:
        await stores.close()


async def observe(settings: Settings) -> ReadWorld:
    """The paths and what they have to give, by uncached reads of the primary."""
    world = ReadWorld()
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    ids = {
        row["reference"]: int(row["id"])
        for row in await connection.fetch("SELECT id, reference FROM entities WHERE type = 'user'")
    }
    await connection.close()
    still = [ids[f"s{n}"] for n in range(STILL)]
    cold = [ids[f"c{n}"] for n in range(COLD)]
    moving = [ids[f"m{n}"] for n in range(MOVING)]
    stores = await Stores.open(
        settings.model_copy(update={"cache_enabled": False, "postgres_replica_dsns": []})
    )
    try:
        deep, flat = await _trees(stores, still, depth=2), await _trees(stores, still, depth=1)
        for n, entity_id in enumerate(still):
            world.hot.append(Target(kind="by id", path=f"/v1/graph/{entity_id}?depth=2", body=deep[n]))
            for kind, name, value, into in (
                ("by property", "email", f"s{n}@example.org", world.looked_up),
                ("uncached", "note", f"{_LONG}{n}", world.uncached),
            ):
                path = f"/v1/graph/by-property/{name}/value/{quote(value)}?depth=1&limit=5"
                into.append(Target(kind=kind, path=path, body=b"[" + flat[n] + b"]"))
        for entity_id, body in zip(cold, await _trees(stores, cold, depth=1), strict=True):
            world.cold.append(Target(kind="cold", path=f"/v1/graph/{entity_id}?depth=1", body=body))
        for number, body in enumerate(await _trees(stores, moving, depth=1)):
            n = orjson.loads(body)["properties"]["n"]["value"]
            path = f"/v1/graph/{moving[number]}?depth=1"
            world.moving.append(Moving(reference=f"m{number}", path=path, acknowledged=n, sent=n))
    finally:
        await stores.close()
    return world


async def _trees(stores: Stores, ids: list[int], *, depth: int) -> list[bytes]:
    """The trees of these entities, byte for byte."""
    answer = await stores.reader.batch(ids, depth=depth, since=None)
    assert answer.body is not None
    return [bytes(tree) for tree in msgspec.json.decode(answer.body, type=list[msgspec.Raw])]
