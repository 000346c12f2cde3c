"""docs/events.md shows events as they are published, one of each type, and code that does what it says."""

import json
import re
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from tests.unit.cdc.fakes import headers_of
from tests.unit.docs.published import DOCS, SCHEMAS, examples

TEXT = (DOCS / "events.md").read_text()
KINDS = sorted(path.stem for path in SCHEMAS.glob("*.json"))
EVENTS = examples()


def fenced(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def section(kind: str) -> str:
    _, _, rest = TEXT.partition(f"\n### {kind}\n")
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def test_each_type_has_its_section_and_its_example() -> None:
    assert sorted(re.findall(r"^### (.*)$", TEXT, re.MULTILINE)) == KINDS == sorted(EVENTS)
    assert len(fenced("json", TEXT)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_is_the_published_one_and_keeps_to_its_schema(kind: str) -> None:
    (text,) = fenced("json", section(kind))
    body = json.loads(text, parse_float=Decimal)
    assert body == json.loads(EVENTS[kind].value, parse_float=Decimal)
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
    jsonschema.validate(json.loads(text), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("kind", KINDS)
def test_key_and_headers_are_the_published_ones(kind: str) -> None:
    (text,) = fenced("text", section(kind))
    told = dict(re.findall(r"(\w+):(?: (\S+))?", text))
    same_for_all = {"schema_version": "v1", "source_service": "user-profile-api"}
    event = EVENTS[kind]
    assert told | same_for_all == {"key": event.key.decode(), **headers_of(event)}


def test_every_header_is_explained() -> None:
    for event in EVENTS.values():
        for name in headers_of(event):
            assert f"`{name}`" in TEXT


@pytest.fixture(scope="module")
def code() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in fenced("python", TEXT):
        exec(block, names)  # the page's own text
    return names


def test_what_an_event_is_about_is_the_same_for_all_events_of_a_thing(code: dict[str, Any]) -> None:
    def about(kind: str, **properties: Any) -> Any:
        data = json.loads(EVENTS[kind].value)["data"]
        return code["about"](headers_of(EVENTS[kind]), data | properties)

    user = ("user", "user_aqNSvRZ_74")
    for kind in ("entity_created", "entity_properties_updated"):
        assert about(kind) == ("entity", user)
    for kind in ("relationship_created", "relationship_updated", "relationship_deleted"):
        assert about(kind) == ("relationship", user, "member_of", ("organization", "org-13"))
    for kind in ("temporal_data_created", "temporal_data_updated", "temporal_data_deleted"):
        assert about(kind) == ("temporal", "2:tpv:month:2025-10")
    assert about("temporal_data_deleted", properties={}) is None  # as an erasure tells it


def test_the_window_in_memory_gives_each_event_once(code: dict[str, Any]) -> None:
    events = code["Events"](size=2)
    first, second, third = (event.value for event in list(EVENTS.values())[:3])
    assert events.read(first)["event_idempotency_key"] == json.loads(first)["event_idempotency_key"]
    assert events.read(first) is None
    assert events.read(second) is not None
    assert events.read(third) is not None
    assert events.read(second) is None
    assert events.read(first) is not None  # the oldest left the window
