"""Whom an event is about: types and references hold any characters."""

import json
from typing import Any

import pytest

from app.core.domain_event import read_event, subject_of
from tests.unit.app.fakes import FakeRecord

KEYS = [
    ("user", "u"),
    ("a", "b:c"),
    ("a:b", "c"),
    ("a", ":c"),
    ("a:", "c"),
    ("a\\", "b:c"),
    ("a\\:b", "c"),
    ("a", "b\\:c"),
]


def record(kind: str, data: dict[str, Any]) -> FakeRecord:
    return FakeRecord(
        key=f"{data['type']}:{data['reference']}".encode(),
        value=json.dumps({"data": data}).encode(),
        headers=[("event_type", kind.encode())],
    )


def test_no_two_entities_have_one_subject() -> None:
    assert len({subject_of(*key) for key in KEYS}) == len(KEYS)
    assert subject_of("user", "u:1") == "user:u:1"


@pytest.mark.parametrize(("kind", "reference"), KEYS)
def test_an_event_is_about_the_entity_that_its_body_names(kind: str, reference: str) -> None:
    data = {"type": kind, "reference": reference}
    event = read_event(record("entity_created", data))
    assert event is not None
    assert event.subjects == (subject_of(kind, reference),)
    target = {"target_entity_type": kind, "target_entity_reference": reference}
    event = read_event(record("relationship_created", {"type": "a:b", "reference": "c", **target}))
    assert event is not None
    assert event.subjects == (subject_of("a:b", "c"), subject_of(kind, reference))
