"""Names of keys lead back to the keys."""

import pytest

from app.models import EntityKey, Lookup
from storage.keyspace import Keyspace

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
