from collections import Counter

from cdc.envelope import Skipped, decode, entity_of_key
from load.generate.changes import changes


def test_changes_are_envelopes_that_the_service_reads() -> None:
    found = changes(1_000)
    tables = Counter[str]()
    for record in found:
        change = decode(record.value)
        assert not isinstance(change, Skipped)
        assert entity_of_key(record.key) is not None
        tables[change.source.table] += 1
    assert tables == {"edges": 480, "temporal_properties": 350, "entities": 170}
    assert [record.offset for record in found] == list(range(1_000))


def test_the_same_seed_gives_the_same_changes() -> None:
    assert changes(50, seed=1) == changes(50, seed=1)
    assert changes(50, seed=1) != changes(50, seed=2)


def test_a_mix_is_of_the_kinds_that_are_named() -> None:
    assert b'"op":"u"' in changes(3, mix=["entity"])[0].value
    assert all(b'"table":"edges"' in record.value for record in changes(3, mix=["edge"]))
