"""Names of keys lead back to the keys."""

import pytest

from app.core.models import EntityKey, Lookup
from storage.cache.keyspace import Keyspace

KEYSPACE = Keyspace("up.*:1.1.1")


@pytest.mark.parametrize("number", range(300))
def test_the_name_of_an_entry_is_read_back(number: int) -> None:
    for key, kind in (
        (KEYSPACE.fragment(number * 2**40 + number), "fragment"),
        (KEYSPACE.lookup(Lookup("path", str(number))), "property"),
        (KEYSPACE.reference(EntityKey("user", str(number))), "reference"),
    ):
        assert KEYSPACE.parse(key.name) == key
        assert KEYSPACE.kind_of(key) == kind


def test_other_names_are_no_entries() -> None:
    name = KEYSPACE.fragment(5).name
    others = [
        KEYSPACE.mark(5),
        KEYSPACE.channel(5),
        b"x" + name,
        name.replace(b"up.*", b"up..x"),
        name[:-1],
        b"",
    ]
    assert [KEYSPACE.parse(other) for other in others] == [None] * len(others)


def test_after_a_move_all_names_are_others_in_the_same_slots() -> None:
    keyspace = Keyspace("up:1.1.1")
    slots, names = keyspace.slots, {keyspace.fragment(5).name, keyspace.mark(5), keyspace.channel(5)}
    keyspace.move("up:1.2.1")
    moved = {keyspace.fragment(5).name, keyspace.mark(5), keyspace.channel(5)}
    assert not names & moved
    assert keyspace.slots == slots == Keyspace("up:1.2.1").slots
    assert keyspace.parse(keyspace.fragment(5).name) == keyspace.fragment(5)
    assert all(keyspace.parse(name) is None for name in names)
