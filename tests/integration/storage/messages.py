"""Messages of the three topics as tests write them, and strategies that generate them.

Values are given as JSON text, so that a test says how a number is spelled.
"""

import json
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from tests.integration.storage.ingestion_model import Message

FIRST_TIMESTAMP = 1_736_937_000_123


def knows(
    left: str,
    right: str,
    metadata: str | None = None,
    *,
    relation: str = "knows",
    types: tuple[str, str] = ("user", "user"),
    ms: int = 0,
) -> Message:
    """An entity with one edge; `ms` after FIRST_TIMESTAMP."""
    item = edge_item(right, metadata, relation=relation, type_=types[1])
    return alone(left, types[0], edges=[item], ms=ms)


def edge_item(reference: str, metadata: str | None, *, relation: str, type_: str) -> str:
    """An item of `edges`, as JSON text."""
    names = {"entity_reference": reference, "entity_type": type_, "relation_type": relation}
    return _object(names, {} if metadata is None else {"metadata": metadata})


def alone(reference: str, type_: str = "user", *, edges: list[str] | None = None, ms: int = 0) -> Message:
    """An entity, with edges that are JSON text, or without any."""
    raw = {} if edges is None else {"edges": f"[{', '.join(edges)}]"}
    value = _object({"id": "1", "reference": reference, "type": type_}, raw)
    return Message("entities-edges", FIRST_TIMESTAMP + ms, value.encode())


def prop(
    reference: str, value: str, date: str = "2025-01-15T10:30:00Z", *, field: str = "f", type_: str = "user"
) -> Message:
    names = {"entity_reference": reference, "entity_type": type_, "field_name": field, "reference_date": date}
    return Message("entity-properties", FIRST_TIMESTAMP, _object(names, {"field_value": value}).encode())


def point(
    reference: str,
    value: str,
    date: str = "2025-01-15T10:30:00Z",
    granularity: str = "month",
    *,
    key: str = "k",
    version: int | None = None,
    type_: str = "user",
) -> Message:
    names = {
        "entity_reference": reference,
        "entity_type": type_,
        "property_type": key,
        "property_reference_date": date,
        "property_granularity": granularity,
    }
    raw = {"property_value": value} | ({} if version is None else {"property_version": str(version)})
    return Message("temporal-data", FIRST_TIMESTAMP, _object(names, raw).encode())


def _object(plain: dict[str, str], raw: dict[str, str]) -> str:
    members = {name: json.dumps(text) for name, text in plain.items()} | raw
    return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"


# The dates of one set of messages are drawn from one of these.
_INSTANTS = st.sampled_from(
    [
        # Close to each other, in the order of texts or not
        [
            datetime(2025, 1, 15, 10, 30, second, micros, tzinfo=UTC)
            for second in (59, 58)
            for micros in (0, 1, 500_000, 500_100)
        ],
        # On both sides of borders between periods; 2024-12-30 is the Monday of 2025-W01
        [
            datetime(2024, 12, 30, tzinfo=UTC),
            datetime(2024, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2025, 1, 1, tzinfo=UTC),
            datetime(2025, 1, 2, 3, tzinfo=UTC),
            datetime(2025, 1, 5, 23, 30, tzinfo=UTC),
        ],
        [
            datetime(2025, 1, 31, 23, 30, tzinfo=UTC),
            datetime(2025, 2, 1, tzinfo=UTC),
            datetime(2025, 3, 31, 22, tzinfo=UTC),
            datetime(2025, 4, 1, 1, tzinfo=UTC),
            datetime(2025, 11, 30, tzinfo=UTC),
        ],
        # Far away
        [
            datetime.min.replace(tzinfo=UTC),
            datetime(1, 1, 3, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
        ],
    ]
)
_OFFSETS = st.sampled_from(
    ["", "", "Z", "Z", "z", "+00:00", "-00:00", "+02:00", "-03:30", "+05:45", "-12:00", "+14:00"]
)


@st.composite
def _spelled(draw: st.DrawFn, instant: datetime) -> str:
    """The instant in one of the many spellings of RFC 3339."""
    # With an offset the first and the last year are beyond what can be spelled.
    offset = "Z" if instant.year in (MINYEAR, MAXYEAR) else draw(_OFFSETS)
    if instant == instant.replace(hour=0, minute=0, second=0, microsecond=0) and draw(st.booleans()):
        return instant.date().isoformat()
    sign = -1 if offset.startswith("-") else 1
    shift = timedelta(hours=int(offset[1:3] or 0), minutes=int(offset[4:] or 0)) * sign
    local = instant.astimezone(timezone(shift)).isoformat()[:19].replace("T", draw(st.sampled_from("Tt ")))
    digits = f"{instant.microsecond:06}".rstrip("0")
    # Zeros at the end, and digits beyond microseconds, tell nothing.
    more = draw(st.sampled_from(["", "", "0", "000"]))
    if draw(st.booleans()):
        more = f"{'0' * (6 - len(digits))}{draw(st.from_regex('[0-9]{1,3}', fullmatch=True))}"
    return f"{local}{'.' if digits + more else ''}{digits}{more}{offset}"


# Equal numbers that are spelled in different ways, and strings too; what a float would lose.
_KNOWN = st.sampled_from(
    [
        *(
            "1",
            "1.0",
            "1.00",
            "10e-1",
            "1E0",
            "2",
            "10",
            "9",
            "0",
            "-0",
            "0.0",
            "-1",
            "true",
            "false",
            "null",
        ),
        *(
            "12345678901234567890.123",
            "12345678901234567890.124",
            "9007199254740993",
            "1E400",
            "1e-300",
            "-1E+400",
        ),
        *(
            '""',
            '"x"',
            '"1"',
            '"é"',
            '"\\u00e9"',
            '"\\ud83d\\ude00"',
            '"\U0001f600"',
            '"\uffee"',
            '"\\n\\u001f\\/"',
        ),
        *(
            "[]",
            "{}",
            "[1,2]",
            "[1, 2.0]",
            '{"b":1,"a":2,"aa":3}',
            '{"aa": 3,  "a": 2, "b": 1}',
            '{"a":1,"a":2}',
        ),
    ]
)
_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
).filter(str.isascii)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_STRINGS = st.builds(lambda text, ascii_: json.dumps(text, ensure_ascii=ascii_), _TEXTS, st.booleans())


def _objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # A key may come twice.
    members = st.lists(
        st.tuples(st.sampled_from(["a", "b", "é", "aa"]).map(json.dumps) | _STRINGS, values), max_size=4
    )
    return members.map(lambda pairs: "{" + ",".join(f"{key} : {value}" for key, value in pairs) + "}")


def _arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda items: f"[ {',  '.join(items)}]")


_SCALARS = _NUMBERS | _STRINGS | st.sampled_from(["true", "false", "null"])
VALUES = (
    _KNOWN | _KNOWN | st.recursive(_SCALARS, lambda deeper: _arrays(deeper) | _objects(deeper), max_leaves=6)
)

# Equal or nearly so. The values of one set of messages are drawn from one of these, or from all.
_TIES = st.sampled_from([["1", "1.0", "1.00"], ['"1"', "1", "true"], ['{"a": 1}', '{"a":1.0}', '{"a": 2}']])
# Names are few, so that messages meet. "unknown" is kept as a type, not as a reference.
_ENTITIES = st.tuples(
    st.sampled_from(["user", "organization"]), st.sampled_from(["a", "b", "unknown", "é\U0001f600"])
)
_GRANULARITIES = st.sampled_from(
    [
        ["instant"],
        ["day", "daily"],
        ["week", "weekly"],
        ["month", "monthly"],
        ["quarter", "quarterly"],
        ["year", "yearly", "annual"],
    ]
)
_VERSIONS = st.sampled_from([None, 0, 1, -1, 1_000_000_000_007, 2**63 - 1])


@st.composite
def message_sets(draw: st.DrawFn) -> list[Message]:
    """6 to 25 messages about a few things, so that most of them say something about what another one told."""
    entities = st.sampled_from(draw(st.lists(_ENTITIES, min_size=1, max_size=3)))
    values = st.sampled_from(draw(_TIES | st.lists(VALUES, min_size=1, max_size=4)))
    instants = st.sampled_from(draw(_INSTANTS))
    dates = st.sampled_from(draw(st.lists(instants, min_size=1, max_size=4))).flatmap(_spelled)
    granularities = st.sampled_from(draw(_GRANULARITIES))
    times = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    objects = values.map(lambda value: value if value.startswith("{") else f'{{"n": {value}}}')
    items = st.builds(
        lambda entity, relation, metadata: edge_item(entity[1], metadata, relation=relation, type_=entity[0]),
        entities,
        st.sampled_from(["knows", "member_of"]),
        st.none() | st.just("null") | objects | objects,
    )
    messages = st.one_of(
        st.builds(
            lambda entity, edges, ms: alone(entity[1], entity[0], edges=edges, ms=ms),
            entities,
            st.none() | st.lists(items, min_size=1, max_size=4),
            st.sampled_from(times),
        ),
        st.builds(
            lambda entity, value, date, field: prop(entity[1], value, date, field=field, type_=entity[0]),
            entities,
            values,
            dates,
            st.sampled_from(["f", "reference_date"]),
        ),
        st.builds(
            lambda entity, value, date, granularity, version: point(
                entity[1], value, date, granularity, version=version, type_=entity[0]
            ),
            entities,
            values,
            dates,
            granularities,
            _VERSIONS,
        ),
    )
    size = draw(st.integers(6, 25))
    return draw(st.lists(messages, min_size=size, max_size=size))
