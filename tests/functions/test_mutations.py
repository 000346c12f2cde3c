"""Valid events that were changed at random: each ends as records and/or dead letters with paths, none vanishes.

By type, presence, nesting, encoding and bytes, at every depth, one change or two at once. Held to an independent
validator of JSON Schema, and to itself: an event without the parts that were left out is valid, and gives the same
records. `SOURCE_MUTATIONS=100000 pytest tests/functions/test_mutations.py` for more than the 2,000 of each run.
"""

import copy
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import jsonschema
import pytest

from infra.flink.jobs import source_topics
from infra.flink.reading import Event, Reading, read_events
from infra.settings import InfraSettings
from tests.functions.test_contracts import ARRIVAL_MS, EXAMPLES, schema_of, topic_of

COUNT: Final = int(os.environ.get("SOURCE_MUTATIONS", "2000"))
SEED: Final = int(os.environ.get("SOURCE_MUTATIONS_SEED", "20"))
Path = tuple[str | int, ...]

OTHER: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 7, 10**30, "", " ", "\u00a0", "\u200b", "null", "x", "1e99", "00.5", "\u00e9" * 700,
    [], {}, [None], ["x"], [[]], [{}], {"x": 1}, [[[{"x": []}]]],
)  # fmt: skip
RAW: Final = ('"\\ud800"', '"\\u0000"', "1e9999", '"a" "b"', '{"x":1,"x":2}', "[1,]", "'x'", "NaN", "01", "")
MARK: Final = "raw-value-of-the-mutation"


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of all values within a document."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, child in children:
        yield (*path, name)
        yield from places(child, (*path, name))


def parent_of(document: Any, path: Path) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def _replace(rng: random.Random, document: Any, path: Path) -> bytes | None:
    parent_of(document, path)[path[-1]] = copy.deepcopy(rng.choice(OTHER))
    return None


def _delete(_: random.Random, document: Any, path: Path) -> bytes | None:
    del parent_of(document, path)[path[-1]]
    return None


def _nest(rng: random.Random, document: Any, path: Path) -> bytes | None:
    parent = parent_of(document, path)
    parent[path[-1]] = rng.choice([lambda v: [v], lambda v: {"value": v}, json.dumps])(parent[path[-1]])
    return None


def _repeat(_: random.Random, document: Any, path: Path) -> bytes | None:
    parent = parent_of(document, path)
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))  # type: ignore[index]
    else:
        parent[f"{path[-1]}_"] = parent[path[-1]]
    return None


def _raw(rng: random.Random, document: Any, path: Path) -> bytes | None:
    parent_of(document, path)[path[-1]] = MARK
    return json.dumps(document).replace(f'"{MARK}"', rng.choice(RAW)).encode()


def _bytes(rng: random.Random, document: Any, _: Path) -> bytes | None:
    value = bytearray(json.dumps(document, ensure_ascii=False).encode())
    at = rng.randrange(len(value))
    match rng.randrange(5):
        case 0:
            del value[at:]
        case 1:
            value[at] ^= 1 << rng.randrange(8)
        case 2:
            value[at:at] = rng.choice(
                [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\x00", b"\xef\xbb\xbf", b" ", b"\n"]
            )
        case 3:
            value += rng.choice([b"{}", b" 1", b"\x00", b",", b"]", b" \n "])
        case _:
            value[:0] = rng.choice([b"\xef\xbb\xbf", b"[", b"1 ", b" \n"])
    return bytes(value)


CHANGES: Final[tuple[Callable[[random.Random, Any, Path], bytes | None], ...]] = (
    _replace, _replace, _replace, _delete, _nest, _repeat, _raw, _bytes,
)  # fmt: skip


def mutated(rng: random.Random, count: int) -> list[Event]:
    events = []
    while len(events) < count:
        example = rng.choice(EXAMPLES)
        document, value = json.loads(example.read_bytes()), None
        for _ in range(rng.choice((1, 1, 2))):
            found = [*places(document)]
            if value is None and found:
                value = rng.choice(CHANGES)(rng, document, rng.choice(found))
        value = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode() if value is None else value
        events.append(Event(source=topic_of(example), value=value, arrival_ms=ARRIVAL_MS))
    return events


def strictly(value: bytes) -> Any:
    """The document of these bytes, or None where no strict reader takes it."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(_: str) -> Any:
        raise ValueError

    try:
        document = json.loads(value.decode(), object_pairs_hook=unique, parse_constant=refuse)
        json.dumps(document, ensure_ascii=False).encode()  # half of a pair
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and "\\u0000" not in json.dumps(document) else None


def steps(path: str) -> Path:
    """`a.b[3].c` as steps."""
    return tuple(
        int(index) if index else name
        for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)
        for name in [name]
    )


def without(document: Any, parts: list[str]) -> Any:
    """The document without these parts; of lists the last first, so that numbers hold."""
    rest = copy.deepcopy(document)
    for path in sorted(
        map(steps, parts), key=lambda path: [str(step).zfill(6) for step in path], reverse=True
    ):
        del parent_of(rest, path)[path[-1]]
    return rest


@pytest.fixture(scope="module")
def readings(stack: InfraSettings) -> list[tuple[Event, Reading]]:
    events = mutated(random.Random(SEED), COUNT)
    return [*zip(events, read_events(stack, events), strict=True)]


def test_each_is_written_or_told_with_its_path(readings: list[tuple[Event, Reading]]) -> None:
    kinds: Counter[str] = Counter()
    for event, reading in readings:
        wholes = [fault for fault in reading.faults if fault.part is None]
        kinds["refused" if reading.id is None else "in part" if reading.faults else "valid"] += 1
        assert len(wholes) == (reading.id is None), event
        if wholes:
            assert len(reading.faults) == 1
            assert not reading.records
        for fault in reading.faults:
            assert fault.reason.startswith(f"{fault.path}: ") if fault.path else fault.reason
            assert fault.part is None or fault.path.startswith(fault.part)
            assert fault.place == re.sub(r"\[\d+\]", "[]", fault.path)
        parts = [fault.part for fault in reading.faults]
        assert len(parts) == len(set(parts))
    assert min(kinds.values()) > COUNT // 20, kinds


def test_nothing_passes_that_another_validator_refuses(readings: list[tuple[Event, Reading]]) -> None:
    validators = {topic: jsonschema.Draft202012Validator(schema_of(topic)) for topic in source_topics()}
    refused = 0
    for event, reading in readings:
        document = strictly(event.value)
        if document is None or not validators[event.source].is_valid(document):
            refused += 1
            assert reading.faults, event
    assert refused > COUNT // 4


def test_the_rest_of_an_event_is_valid_and_gives_the_same_records(
    stack: InfraSettings, readings: list[tuple[Event, Reading]]
) -> None:
    partly = [(event, reading) for event, reading in readings if reading.id and reading.faults]
    cleaned = [
        Event(
            source=event.source,
            value=json.dumps(
                without(strictly(event.value), [fault.part for fault in reading.faults if fault.part])
            ).encode(),
            arrival_ms=ARRIVAL_MS,
        )
        for event, reading in partly
    ]
    assert len(partly) > COUNT // 20
    for (event, reading), clean in zip(partly, read_events(stack, cleaned), strict=True):
        assert not clean.faults, (event, clean.faults)
        assert clean.id == reading.id
        missing = Counter(record.key + record.body for record in clean.records)
        missing.subtract(Counter(record.key + record.body for record in reading.records))
        # A list without some of its items is not written as a property.
        assert all(
            count == 0 or (count == 1 and '"field_name":"segments"' in body)
            for body, count in missing.items()
        )
