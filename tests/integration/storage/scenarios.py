"""Small sets of messages, each about one rule of convergence, and the orders in which they are told."""

import itertools
from collections.abc import Iterator, Sequence
from random import Random

from tests.integration.storage.delivery import Rounds, random_rounds
from tests.integration.storage.ingestion_model import Message
from tests.integration.storage.messages import alone, knows, point, prop

_NUMBERS = [
    "12345678901234567890.123",
    "12345678901234567890.124",
    "1E400",
    "1e-300",
    "-1E+400",
    "9007199254740993",
]

SCENARIOS: dict[str, list[Message]] = {
    "property ties": [prop("a", value) for value in ("1", "1.0", "1.00")]
    + [prop("b", v) for v in ('"x"', "[2]")],
    "property dates": [
        prop("a", "1", "2025-01-15T10:30:59Z"),
        prop("a", "2", "2025-01-15T10:30:59.5Z"),  # as text it is before the one above
        prop("a", "3", "2025-01-15T11:00:00+02:00"),
    ],
    "offsets": [prop("a", "1", "2025-01-15T10:30:00-03:30"), prop("a", "2", "2025-01-15T15:00:00+02:00")],
    "one instant, many spellings": [
        prop("a", str(number), date)
        for number, date in enumerate(
            [
                "2025-01-15T10:30:00.5Z",
                "2025-01-15t12:30:00.500000+02:00",
                "2025-01-15 10:30:00.5000009",
                "2025-01-15T07:00:00.50-03:30",
            ]
        )
    ],
    "fields apart": [
        prop("a", "1", "2025-01-02", field="f"),
        prop("a", "2", "2025-01-01", field="g"),
        prop("a", "3", "2025-01-01", field="f"),
        prop("a", "4", "2025-01-02", field="g"),
    ],
    "every kind of value": [
        prop("a", value, field=value)
        for value in (
            "null",
            "true",
            "-0",
            '"\\u00e9\\ud83d\\ude00"',
            "[]",
            '{"b":1,"a":{},"aa":[1.0]}',
            '{"a":1,"a":2}',
        )
    ],
    "no digit lost": [prop("a", value, field=value) for value in _NUMBERS]
    + [point("a", value, key=value) for value in _NUMBERS]
    + [knows("a", "b", f'{{"n": {value}}}', relation=value) for value in _NUMBERS],
    "first seen as a target": [knows("a", "b"), prop("b", "1"), point("b", "2"), alone("b")],
    "types of one reference": [
        prop("a", "1"),
        prop("a", "2", type_="organization"),
        knows("b", "a", '{"n": 1}'),
        knows("b", "a", types=("user", "organization")),
    ],
    "relations of a pair": [
        knows("a", "b", '{"n": 1}'),
        knows("a", "b", relation="member_of"),
        knows("b", "a", '{"n": 2}', relation="member_of"),
    ],
    "an edge twice": [knows("a", "b", '{"n": 1}'), knows("a", "b", '{"n": 2}', ms=1), knows("a", "b", ms=2)],
    "edge ties": [knows("a", "b", f'{{"n": {value}}}') for value in ("1", "1.0", "2")],
    "point ties": [point("a", value) for value in ("1", "1.0", "1.00")],
    "corrections": [
        point("a", "9", "2025-01-31T23:59:59.999999Z", version=1),
        point("a", "5", "2025-01-31T23:59:59.999999Z", version=1_000_000_000_007),
        point("a", "7", "2025-01-31T23:59:59.999999Z"),
        point("a", "8", "2025-01-30", version=2**63 - 1),
    ],
    "twelve months": [point("a", str(month), f"2025-{month:02}-10", "monthly") for month in range(1, 13)],
    "a week over a year's end": [
        point("a", "1", "2024-12-30", "week"),
        point("a", "2", "2025-01-02T03:00:00Z", "weekly"),
        point("a", "3", "2024-12-29T23:30:00-03:30", "week"),  # Monday in UTC
    ],
    "a week over a month's end": [
        point("a", "2", "2025-10-31", "week"),
        point("a", "1", "2025-11-02", "week"),
    ],
    "a quarter": [
        point("a", "2", "2025-01-31", "quarter"),
        point("a", "1", "2025-03-31T23:00:00Z", "quarterly"),
    ],
    "a year": [
        point("a", "3", "2025-01-01", "year"),
        point("a", "2", "2025-11-30", "yearly"),
        point("a", "1", "2026-01-01T01:00:00+02:00", "annual"),
    ],
    "instants": [
        point("a", "1", "2025-01-15T10:30:00.5Z", "instant"),
        point("a", "2", "2025-01-15T10:30:00Z", "instant"),
    ],
    "the first and the last instant": [
        point("a", "1", "0001-01-01T00:00:00Z", "year"),
        point("a", "2", "0001-12-31", "year"),
        point("a", "3", "9999-12-31T23:59:59.9999999Z", "instant"),
    ],
}


def orders(messages: Sequence[Message]) -> Iterator[Rounds]:
    """Ways to tell the messages: all at once, one by one, in a race, and after the first one of them.

    Up to three messages are told in all orders, more in some.
    """
    yield [[messages]]
    yield [[[message] for message in messages[:4]], *([[message]] for message in messages[4:])]
    for order in _permutations(messages):
        first, *others = ([message] for message in order)
        yield [[first], *([other] for other in others)]
        yield [[first], others[:4], *([other] for other in others[4:])]
        yield [[first], [[message for other in others for message in other]]]
    for seed in range(4):
        yield random_rounds(messages, Random(seed))


def _permutations(messages: Sequence[Message]) -> list[Sequence[Message]]:
    if len(messages) <= 3:
        return list(itertools.permutations(messages))
    return [messages, messages[::-1], *(Random(seed).sample(messages, len(messages)) for seed in range(2))]
