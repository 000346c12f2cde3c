"""What the cache answers is, byte for byte, what PostgreSQL answers, over random graphs with writes in between.

Writes come from the process that reads, and from another one, whose notifications are waited for.

FRESHNESS_EXAMPLES sets how many graphs are tried for each budget (30, if unset).
"""

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.config.settings import Role, Settings
from app.core.errors import InvalidError
from app.core.models import Batch, EdgeRow, EntityRow, PropertyRow, RemovedEdge, TemporalRow
from app.ports.graph import Answer
from storage.stores import Stores
from tests.rows import DAY0, edge, entity, point, prop, user

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("FRESHNESS_EXAMPLES", "30"))
NODES: Final = 7
_RUN: Final = itertools.count()  # of an example: its entities are its own

NODE = st.integers(0, NODES - 1)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
COMMON = st.sampled_from(["x", "1", 1, 1.5, True, None])  # so that look-ups find something
LEAF = (
    COMMON
    | st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | TEXT
    | st.floats(-1, 1).map(lambda f: round(f, 2))
)
VALUE = (
    COMMON
    | st.fixed_dictionaries({"k": COMMON})
    | st.recursive(LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2))
)
PATH = st.sampled_from(["mail", "doc", "doc.k", "nötiz", "nötiz.k"])
FIELD = st.sampled_from(["mail", "doc", "nötiz"])
KIND = st.sampled_from(["has", "knows", "µ"])
SECONDS = st.integers(0, 5)


GONE: Final = object()  # in place of a property's value: it is removed


@dataclass(frozen=True)
class Write:
    """Rows by numbers of nodes: properties, edges, points, edges that are removed; told here or elsewhere."""

    properties: list[tuple[int, str, Any, int]]
    edges: list[tuple[int, int, str]]
    points: list[tuple[int, str, Any, int]]
    removed: list[tuple[int, int, str]]
    elsewhere: bool

    def batch(self, prefix: str) -> Batch:
        properties: list[PropertyRow] = [
            prop(f"{prefix}{node}", field, "0", seconds)._replace(
                value=None if value is GONE else orjson.dumps(value).decode()
            )
            for node, field, value, seconds in self.properties
        ]
        edges: list[EdgeRow] = [
            edge(f"{prefix}{left}", f"{prefix}{right}", kind) for left, right, kind in self.edges
        ]
        points: list[TemporalRow] = [
            point(
                f"{prefix}{node}", key, orjson.dumps(value).decode(), date=DAY0 + timedelta(days=31 * month)
            )
            for node, key, value, month in self.points
        ]
        removed = [
            RemovedEdge("user", f"{prefix}{left}", "user", f"{prefix}{right}", kind)
            for left, right, kind in self.removed
        ]
        return Batch(properties=properties, edges=edges, temporal=points, removed_edges=removed)


@dataclass(frozen=True)
class Erasure:
    node: int


@dataclass(frozen=True)
class Read:
    """By id, by reference, by property or as a batch."""

    how: str
    nodes: list[int]
    depth: int
    months: int | None
    found: tuple[str, Any]


def _dense(drawn: tuple[bool, bool]) -> list[tuple[int, int, str]]:
    """A hub that leads everywhere, and one that all lead to."""
    out_of, into = drawn
    return [(0, n, "has") for n in range(NODES) if out_of] + [(n, 1, "knows") for n in range(NODES) if into]


EDGES = st.lists(st.tuples(NODE, NODE, KIND), max_size=10)
FEW_EDGES = EDGES.map(lambda edges: edges[:2])
PROPERTIES = st.lists(st.tuples(NODE, FIELD, VALUE | st.just(GONE), SECONDS), max_size=4)
POINTS = st.lists(st.tuples(NODE, st.sampled_from(["tpv", "ñ"]), VALUE, st.integers(0, 4)), max_size=4)
HUBS = st.tuples(st.booleans(), st.booleans()).map(_dense)
FIRST = st.builds(
    Write, PROPERTIES, st.tuples(EDGES, HUBS).map(lambda p: p[0] + p[1]), POINTS, st.just([]), st.booleans()
)
LATER = st.builds(Write, PROPERTIES, FEW_EDGES, POINTS, FEW_EDGES, st.booleans()).filter(
    lambda write: bool(write.properties or write.edges or write.points or write.removed)
)
READ = st.builds(
    Read,
    st.sampled_from(["id", "reference", "property", "batch"]),
    st.lists(NODE, min_size=1, max_size=3),
    st.integers(1, 10),
    st.none() | st.integers(0, 5),
    st.tuples(PATH, COMMON | LEAF),
)
STEPS = st.lists(READ | READ | LATER | st.builds(Erasure, NODE), min_size=1, max_size=12)


@pytest.fixture(params=[10_000, 5], ids=["whole", "cut"])
async def processes(
    request: pytest.FixtureRequest, settings: Settings
) -> AsyncIterator[tuple[Stores, Stores, Stores]]:
    """One that reads, one that reads without a cache, and one that only writes."""
    budget = settings.model_copy(update={"graph_node_budget": request.param})
    opened = [
        await Stores.open(budget),
        await Stores.open(budget.model_copy(update={"cache_enabled": False})),
        await Stores.open(budget.model_copy(update={"roles": [Role.ENTITY_PROPERTIES]})),
    ]
    await until(lambda: opened[0].figures().memory_on)
    yield opened[0], opened[1], opened[2]
    for each in reversed(opened):
        await each.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - another process's message
            await asyncio.sleep(0.001)


async def written(batch: Batch, by: Stores, reading: Stores) -> None:
    """Written, and heard of where it is read."""
    memory = reading.reader._fragments._memory  # type: ignore[attr-defined]
    before, life = memory._number, memory._life
    changes = await by.writer.write(batch)
    locals_ = [key.local for key in by.invalidator.keys_of(changes)]
    # Emptied altogether, it holds nothing old either.
    await until(lambda: memory._life != life or all(memory._notified.get(key, 0) > before for key in locals_))


async def answered(stores: Stores, read: Read, ids: list[int], prefix: str) -> Answer | str | None:
    """Or why a batch is refused."""
    try:
        return await _answered(stores, read, ids, prefix)
    except InvalidError as error:
        return str(error)


async def _answered(stores: Stores, read: Read, ids: list[int], prefix: str) -> Answer | None:
    since = None if read.months is None else DAY0 + timedelta(days=31 * read.months)
    reader, node = stores.reader, read.nodes[0]
    if read.how == "id":
        return await reader.graph(ids[node], depth=read.depth, since=since)
    if read.how == "reference":
        return await reader.by_reference(user(f"{prefix}{node}"), depth=read.depth, since=since)
    if read.how == "batch":
        asked = [*(ids[node] for node in read.nodes), 2**60]
        return await reader.batch(asked, depth=read.depth, since=since)
    path, value = read.found
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return await reader.by_property(path, text, depth=read.depth, since=since, limit=3, after=ids[0] - 1)


async def expect_the_same(cached: Stores, uncached: Stores, read: Read, ids: list[int], prefix: str) -> None:
    """Twice, since the second answer comes from the cache alone."""
    expected = await answered(uncached, read, ids, prefix)
    for _ in range(2):
        found = await answered(cached, read, ids, prefix)
        if not isinstance(expected, Answer) or not isinstance(found, Answer):
            assert found == expected
            continue
        assert found.verified
        assert found.body is not None
        assert expected.body is not None
        assert json.loads(found.body) == json.loads(expected.body)
        assert (found.body, found.etag, found.next_after) == (
            expected.body,
            expected.etag,
            expected.next_after,
        )


@pytest.mark.timeout(60 + 4 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=FIRST, steps=STEPS)
async def test_the_cache_changes_no_answer(
    processes: tuple[Stores, Stores, Stores], first: Write, steps: list[Read | Write | Erasure]
) -> None:
    cached, uncached, elsewhere = processes
    prefix = f"ü{next(_RUN)}-"
    entities: list[EntityRow] = [entity(f"{prefix}{node}") for node in range(NODES)]
    created = await cached.writer.write(Batch(entities=entities))
    names = await cached.directory.keys_of(list(created.entities))
    by_name = {key.reference: entity_id for entity_id, key in names.items()}
    ids = [by_name[f"{prefix}{node}"] for node in range(NODES)]
    await written(first.batch(prefix), elsewhere if first.elsewhere else cached, cached)
    reads = [step for step in steps if isinstance(step, Read)]
    for step in steps:
        if isinstance(step, Write):
            await written(step.batch(prefix), elsewhere if step.elsewhere else cached, cached)
        elif isinstance(step, Erasure):
            await cached.eraser.erase(user(f"{prefix}{step.node}"))
        else:
            await expect_the_same(cached, uncached, step, ids, prefix)
    for read in reads:  # what was read before the last write
        await expect_the_same(cached, uncached, read, ids, prefix)
