import json
from collections.abc import Iterable

import pytest

from app.core.errors import InvalidError
from app.core.models import EntityKey, Lookup
from cdc.envelope import Skipped, decode
from cdc.invalidation.invalidated_keys import Affected
from tests.unit.cdc import envelopes as e


def lookups_of(field: str, text: str) -> Iterable[Lookup]:
    """A stand-in: the told value's own text, or those of its members."""
    value = json.loads(text)
    members = {f"{field}.{name}": leaf for name, leaf in value.items()} if isinstance(value, dict) else None
    return [Lookup(path, str(leaf)) for path, leaf in (members or {field: value}).items()]


def affected(*values: bytes) -> Affected:
    found = Affected()
    for value in values:
        change = decode(value)
        assert not isinstance(change, Skipped)
        found.add(change, lookups_of)
    return found


def test_a_new_entity() -> None:
    found = affected(e.create("entities", e.entity(properties='{"email": {"value": "x"}}')))
    assert (found.entities, found.keys) == ({7}, {EntityKey("user", "u-7")})
    assert (found.lookups, found.xids) == ({Lookup("email", "x")}, {900})


def test_an_update_names_old_and_new_leaves_and_no_key() -> None:
    found = affected(
        e.update(
            "entities",
            e.entity(properties='{"d": {"value": {"no": 1, "kind": "k"}}, "same": {"value": 5}}'),
            e.entity(properties='{"d": {"value": {"no": 2, "kind": "k"}}, "same": {"value": 5}}'),
        )
    )
    assert found.keys == set()
    assert found.lookups == {Lookup("d.no", "1"), Lookup("d.no", "2")}


def test_a_property_that_left() -> None:
    found = affected(
        e.update("entities", e.entity(properties='{"email": {"value": "x"}}'), e.entity(properties="{}"))
    )
    assert found.lookups == {Lookup("email", "x")}


def test_a_date_alone_affects_the_entity_and_no_lookup() -> None:
    texts = [f'{{"email": {{"value": "x", "reference_date": "{year}"}}}}' for year in (2024, 2025)]
    found = affected(e.update("entities", *(e.entity(properties=text) for text in texts)))
    assert (found.entities, found.lookups) == ({7}, set())


def test_a_property_of_another_form_is_its_own_value() -> None:
    assert affected(e.create("entities", e.entity(properties='{"email": "x"}'))).lookups == {
        Lookup("email", "x")
    }


def test_a_deleted_entity() -> None:
    found = affected(e.delete("entities", e.entity(properties='{"email": {"value": "x"}}')))
    assert (found.entities, found.keys, found.lookups) == (
        {7},
        {EntityKey("user", "u-7")},
        {Lookup("email", "x")},
    )


def test_hiding_an_entity_affects_its_key_and_its_look_ups() -> None:
    hidden = e.entity(
        type="", reference="entity-7", erased_as="AAEC", erased_type="user", erased_reference="u-7"
    )
    found = affected(e.update("entities", e.entity(properties='{"a": {"value": 1}}'), hidden))
    assert found.keys == {EntityKey("user", "u-7")}
    assert found.lookups
    assert affected(e.delete("entities", hidden)).keys == {EntityKey("user", "u-7")}


def test_a_rename_affects_both_keys() -> None:
    found = affected(e.update("entities", e.entity(type="unknown"), e.entity()))
    assert found.keys == {EntityKey("unknown", "u-7"), EntityKey("user", "u-7")}


def test_edges_affect_their_left_entities_old_and_new() -> None:
    assert affected(e.create("edges", e.edge(left=1, right=2))).entities == {1}
    assert affected(e.update("edges", e.edge(left=1), e.edge(left=3))).entities == {1, 3}
    assert affected(e.delete("edges", e.edge(left=1, right=2))).entities == {1}


def test_temporal_rows_affect_their_entity() -> None:
    assert affected(e.delete("temporal_properties", e.point(entity_id=5))).entities == {5}


def test_a_snapshot_read_has_nothing_to_wait_for() -> None:
    found = affected(e.captured("entity-snapshot"))
    assert found.entities == {1}
    assert found.xids == set()


def test_changes_that_meet_in_a_batch_keep_all_their_lookups() -> None:
    a, b = ('{"email": {"value": "a"}}', '{"email": {"value": "b"}}')
    forth = e.update("entities", e.entity(properties=a), e.entity(properties=b))
    back = e.update("entities", e.entity(properties=b), e.entity(properties=a))
    assert affected(forth, back).lookups == {Lookup("email", "a"), Lookup("email", "b")}


def test_what_can_not_be_read_affects_the_entity_all_the_same() -> None:
    found = Affected()
    change = decode(e.create("entities", e.entity(properties="[]")))
    assert not isinstance(change, Skipped)
    with pytest.raises(InvalidError):
        found.add(change, lookups_of)
    assert found.entities == {7}


def test_a_removed_property_affects_the_look_ups_of_its_value_alone() -> None:
    removed = '{"email": {"removed": true, "reference_date": "2025-01-01T00:00:00.000000Z"}}'
    told = '{"email": {"value": "x", "reference_date": "2024-01-01T00:00:00.000000Z"}}'
    found = affected(e.update("entities", e.entity(properties=told), e.entity(properties=removed)))
    assert (found.entities, found.lookups) == ({7}, {Lookup("email", "x")})
