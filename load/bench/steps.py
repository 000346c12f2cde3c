"""`bench-steps`: what the Python steps of ingestion and of change data capture cost for each record.

The real functions on generated records, in this process, without servers: no sockets, no SQL. CPU is that of the
process, the least of some repetitions. Compare two versions of the code in turns: a busy machine moves all figures.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvloop

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Role, Settings
from app.core.clock import SystemClock
from app.core.models import Batch, Changes, EntityKey
from app.core.records import DeadLetter, OutgoingEvent, PublishedNote
from app.ingest.processor import Decoder
from app.worker import gc_tuning
from cdc.events.processor import CdcProcessor
from cdc.invalidation.repeater import CacheRepeater
from load.bench.ingest_workloads import records
from load.generate.changes import ChangeRecord, changes
from load.generate.options import positive
from storage.cache.keyspace import Keyspace
from storage.cache.lookups import lookups_of
from storage.cache.memory import Memory
from storage.write.candidates import edge_columns, folded, property_columns, temporal_columns
from storage.write.changes import Effects, changes_of

_DECODERS: Final[Mapping[Role, Callable[[Settings], Decoder]]] = {
    Role.ENTITY_PROPERTIES: EntityProperties,
    Role.TEMPORAL_DATA: TemporalData,
    Role.ENTITIES_EDGES: EntitiesEdges,
}
_KINDS: Final = ("entity", "edge", "point")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is done with `size` records, `of` them what."""

    name: str
    size: int
    run: Callable[[], Awaitable[object]]
    of: str = "record"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--records", type=positive, default=5_000, help="of a window (default %(default)s)")
    parser.add_argument("--repeat", type=positive, default=7, help="times each (default %(default)s)")
    parser.add_argument("--only", default="", help="steps whose name has this")


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    print("| step | µs of CPU each | of |\n|---|---|---|")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        steps = [step for step in runner.run(_steps(args.records)) if args.only in step.name]
        gc_tuning.settle()
        for step in steps:
            least = min(runner.run(_cpu_s(step)) for _ in range(args.repeat))
            print(f"| {step.name} | {least / step.size * 1e6:.2f} | {step.of} |", flush=True)
    return 0


async def _cpu_s(step: Step) -> float:
    started = time.process_time()
    await step.run()
    return time.process_time() - started


async def _steps(count: int) -> list[Step]:
    settings = Settings()
    steps = [step for role in _DECODERS for step in await _ingest(role, settings, count)]
    return [*steps, *await _after_commit(count), *_capture(count)]


async def _ingest(role: Role, settings: Settings, count: int) -> list[Step]:
    decoder = _DECODERS[role](settings)
    told = [
        ChangeRecord(role.value, 0, offset, message.timestamp_ms, message.key, message.value)
        for offset, message in enumerate(records(role, "new", count, f"steps-{role}"))
    ]

    async def decode() -> Batch:
        batch = Batch()
        for record in told:
            decoder.add(record, batch)
        return batch

    async def fold() -> Batch:
        return await folded(batch)

    async def spell() -> object:
        return edge_columns(rows.edges), property_columns(rows.properties), temporal_columns(rows.temporal)

    batch = await decode()
    rows = await fold()
    return [
        Step(f"{role}: decode", count, decode),
        Step(f"{role}: fold", count, fold),
        Step(f"{role}: columns of the comparison", count, spell),
    ]


async def _after_commit(count: int) -> list[Step]:
    document = '{"name": {"value": "Ann %d", "reference_date": "2025-10-05T14:59:59.000000Z"}}'
    effects = Effects()
    reported: Any = [_changed(number, document % number, document % (number + 1)) for number in range(count)]
    effects.add(reported)
    keyspace = Keyspace("bench")
    memory: Memory = Memory(SystemClock(), max_bytes=1 << 20)
    memory.restore()

    async def find() -> Changes:
        return await changes_of(effects, 1)

    async def name() -> list[Any]:
        return [keyspace.key(stale) for stale in found.stale]

    async def forget() -> None:
        memory.invalidate([key.local for key in keys])

    found = await find()
    keys = await name()
    return [
        Step("after a commit: changes and look-ups", count, find, "changed property"),
        Step("after a commit: names of keys", len(keys), name, "key"),
        Step("after a commit: memory's invalidation", len(keys), forget, "key"),
    ]


def _changed(number: int, old: str, new: str) -> dict[str, Any]:
    """What a statement reports of a property that changed, in place of PostgreSQL's row."""
    entity = {"id": number, "type": "user", "reference": f"user-{number}"}
    return entity | {"kind": "property", "rows": 1, "old": old, "new": new}


def _capture(count: int) -> Iterator[Step]:
    told = {"mix": changes(count)} | {kind: changes(count, mix=[kind]) for kind in _KINDS}
    for label, window in told.items():
        yield Step(f"events of changes, {label}", count, lambda window=window: _processor().process(window))  # type: ignore[misc]
        yield Step(f"repeater, {label}", count, lambda window=window: _repeater().repeat(window))  # type: ignore[misc]


def _processor() -> CdcProcessor:
    nowhere = _Nowhere()
    return CdcProcessor(directory=nowhere, events=nowhere, dead_letters=nowhere)


def _repeater() -> CacheRepeater:
    nowhere = _Nowhere()
    return CacheRepeater(
        brokers=[],
        topic="",
        group_id="",
        invalidator=nowhere,
        commit_log=nowhere,
        lookups_of=lookups_of,
    )


class _Nowhere:
    """The ports of change data capture, without anything behind them."""

    behind = False

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        return {number: EntityKey("user", f"user-{number:032}") for number in ids}

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        return {}

    async def publish(
        self, records: Sequence[OutgoingEvent] | Sequence[DeadLetter], notes: Sequence[PublishedNote] = ()
    ) -> None:
        return None

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        return 1

    async def submit(self, changes: Changes) -> None:
        return None
