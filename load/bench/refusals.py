"""`bench-refusals`: what a window with refused records takes beside one of as many good records of as many bytes.

Both go through the agent's processor and writer in this process, in turn, about entities of their own. Dead letters are
counted and not sent. The data stays in the database.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import orjson

from agents.entity_properties import EntityProperties
from app.config.settings import Role, Settings
from app.core.records import DeadLetter
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.processor import IngestProcessor
from load.generate.options import positive
from load.measure.spread import spread
from storage.stores import Stores

_LARGE: Final = 3_500_000
_LARGE_FIELDS: Final = 1_000
_DIGITS: Final = 131_073  # one more than PostgreSQL takes before the point
_REFUSED_OF_20: Final = 9

Fact = tuple[str, str, str]  # reference, field, JSON text


@dataclass(frozen=True, slots=True)
class Window:
    """What is stored before, the window, and as many good records of as many bytes."""

    stored: Sequence[Fact]
    mixed: Sequence[Fact]
    good: Sequence[Fact]


def fields(name: str, count: int) -> Window:
    """45 % of the records are new fields of an entity that has all it may have."""
    stored = [(f"{name}-full", f"f{n}", "0") for n in range(1_000)]
    mixed = [
        (f"{name}-full", f"n{n}", "1") if _is_refused(n) else (f"{name}-u{n}", "f", "1") for n in range(count)
    ]
    return Window(stored, mixed, _good(name, mixed))


def sizes(name: str, count: int) -> Window:
    """45 % of a quarter of the records are for an entity near its limit of bytes."""
    count //= 4
    stored = [(f"{name}-full", f"f{n}", _text(n, 4_100)) for n in range(1_000)]
    mixed = [
        (f"{name}-full", f"f{n % 1_000}", _text(n, 9_000)) if _is_refused(n) else (f"{name}-u{n}", "f", "1")
        for n in range(count)
    ]
    return Window(stored, mixed, _good(name, mixed))


def numbers(name: str, count: int) -> Window:
    """45 % of a twentieth of the records are numbers with more digits than PostgreSQL takes."""
    count //= 20
    mixed = [
        (f"{name}-u{n}", "f", "9" * _DIGITS if _is_refused(n) else "9" * (_DIGITS - 1)) for n in range(count)
    ]
    good = [(f"{name}-g{n}", "f", "9" * (_DIGITS - 1)) for n in range(count)]
    return Window([], mixed, good)


def large(name: str, count: int) -> Window:
    """Records about five stored entities of 3.5 MB, beside such entities that are made: the bytes that are written."""
    each = _LARGE // _LARGE_FIELDS - 80
    stored = [(f"{name}-l{n % 5}", f"f{n // 5}", _text(n, each)) for n in range(5 * _LARGE_FIELDS)]
    mixed = [(f"{name}-l{n % 5}", f"f{n // 5 % _LARGE_FIELDS}", f"{n}") for n in range(min(count, 1_000))]
    made = [(f"{name}-m{n % 5}", f"f{n // 5}", text) for n, (_, _, text) in enumerate(stored)]
    return Window(stored, mixed, made)


KINDS: Final[dict[str, Callable[[str, int], Window]]] = {
    "fields": fields,
    "bytes": sizes,
    "numbers": numbers,
    "large": large,
}


def _is_refused(number: int) -> bool:
    return number % 20 < _REFUSED_OF_20


def _good(name: str, mixed: Sequence[Fact]) -> list[Fact]:
    return [(f"{name}-g{n}", field, text) for n, (_, field, text) in enumerate(mixed)]


def _text(number: int, size: int) -> str:
    return f'"{str(number) * (size // len(str(number)))}"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--records", type=positive, default=5_000, help="of a window (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="(default %(default)s)")
    parser.add_argument("--kind", choices=list(KINDS), action="append", help="(default: all)")


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    found = asyncio.run(_measure(args.kind or list(KINDS), args.records, args.rounds))
    print(table(args.records, found))
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One round: seconds of both windows, and letters of the first."""

    refused_s: float
    good_s: float
    letters: int


def table(count: int, found: dict[str, list[Pair]]) -> str:
    """Medians, and the ratio of each pair."""
    lines = [
        f"\nWindows of {count:,} records; medians of {len(next(iter(found.values())))} rounds (least to most)\n",
        "| window | letters | s | s of good ones | ratio |",
        "|---|---|---|---|---|",
    ]
    for kind, pairs in found.items():
        lines.append(
            f"| {kind} | {median(pair.letters for pair in pairs):,.0f} "
            f"| {spread([pair.refused_s for pair in pairs], '{:.2f}')} "
            f"| {spread([pair.good_s for pair in pairs], '{:.2f}')} "
            f"| {spread([pair.refused_s / pair.good_s for pair in pairs], '{:.2f}')} |"
        )
    return "\n".join(lines)


@dataclass(slots=True)
class _Counted:
    letters: int = 0

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += len(letters)


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes
    offset: int
    topic: str = "entity-properties"
    partition: int = 0
    timestamp: int = 1_736_937_000_123
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = field(default=())


def _records(facts: Sequence[Fact], date: str) -> Iterator[_Record]:
    for offset, (reference, name, text) in enumerate(facts):
        mixed = {
            "entity_reference": reference,
            "entity_type": "bench",
            "field_name": name,
            "reference_date": date,
        }
        yield _Record(orjson.dumps({**mixed, "field_value": orjson.Fragment(text)}), offset)


async def _measure(kinds: Sequence[str], count: int, rounds: int) -> dict[str, list[Pair]]:
    settings = Settings(roles=[Role.ENTITY_PROPERTIES], cache_enabled=False)
    started = int(time.time())
    found: dict[str, list[Pair]] = {}
    async with _opened(settings) as stores:
        for kind in kinds:
            pairs = found[kind] = []
            for turn in range(rounds):
                window = KINDS[kind](f"refusals-{started}-{turn}-{kind}", count)
                await _processed(settings, stores, window.stored, "2025-01-01")
                seconds, letters = {}, 0
                for side in ("mixed", "good") if turn % 2 == 0 else ("good", "mixed"):
                    facts = window.mixed if side == "mixed" else window.good
                    seconds[side], refused = await _processed(settings, stores, facts, "2025-01-02")
                    letters += refused
                pairs.append(Pair(refused_s=seconds["mixed"], good_s=seconds["good"], letters=letters))
    return found


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Stores]:
    stores = await Stores.open(settings)
    try:
        yield stores
    finally:
        await stores.close()


async def _processed(
    settings: Settings, stores: Stores, facts: Sequence[Fact], date: str
) -> tuple[float, int]:
    """Seconds, and letters."""
    sink = _Counted()
    policy = DeadLetterPolicy(max_ratio=1.0, min_records=1_000_000, max_run=1_000_000)
    agent = IngestProcessor(EntityProperties(settings), stores.writer, sink, policy)
    records = list(_records(facts, date))
    since = time.perf_counter()
    await agent.process(records)
    return time.perf_counter() - since, sink.letters
