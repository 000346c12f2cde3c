import pytest

from app.core.records import StoredLetter
from app.dead_letters.filter import LetterFilter

LETTER = StoredLetter(
    stored_key=b"t/3/42",
    topic="t",
    timestamp_ms=1_000,
    key=b"user:[1]",
    value=b"{}",
    error="missing-field",
    reason="id is missing.",
    headers=(),
)


@pytest.mark.parametrize(
    "wanted",
    [
        LetterFilter(),
        LetterFilter(topics=frozenset({"t", "u"})),
        LetterFilter(ids=frozenset({"t/3/42"})),
        LetterFilter(topics=frozenset({"u"}), ids=frozenset({"t/3/42"})),
        LetterFilter(error="missing-field"),
        LetterFilter(since_ms=1_000, until_ms=1_001),
        LetterFilter(key="user:[1]"),
        LetterFilter(key="user:*"),
        LetterFilter(key="t/3/42"),
        LetterFilter(key="t/3/*"),
        LetterFilter(topics=frozenset({"t"}), error="missing-field", since_ms=0, until_ms=2_000, key="*"),
    ],
)
def test_it_matches(wanted: LetterFilter) -> None:
    assert wanted.matches(LETTER)


@pytest.mark.parametrize(
    "wanted",
    [
        LetterFilter(topics=frozenset({"u"})),
        LetterFilter(ids=frozenset({"t/3/4"})),
        LetterFilter(error="missing"),
        LetterFilter(since_ms=1_001),
        LetterFilter(until_ms=1_000),
        LetterFilter(key="user"),
        LetterFilter(key="USER:*"),
        LetterFilter(key="t/3/4"),
        LetterFilter(topics=frozenset({"t"}), error="tombstone"),
        LetterFilter(ids=frozenset({"t/3/42"}), key="account:*"),
    ],
)
def test_it_does_not_match(wanted: LetterFilter) -> None:
    assert not wanted.matches(LETTER)


def test_ids_name_their_topics() -> None:
    assert LetterFilter(
        topics=frozenset({"a"}), ids=frozenset({"b.c/0/1", "b.c/1/2"})
    ).topics_to_read == frozenset({"a", "b.c"})
    assert LetterFilter(error="x").topics_to_read == frozenset()


def test_a_filter_without_anything_selects_nothing_in_particular() -> None:
    assert not LetterFilter().selects
    assert LetterFilter(since_ms=0).selects
