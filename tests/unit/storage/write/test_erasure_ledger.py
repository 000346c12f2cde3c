"""What is left of a batch after the ledger was asked, row by row."""

from datetime import UTC, datetime, timedelta

from app.core.erasure import Erasure
from app.core.models import (
    Batch,
    EdgeRow,
    EntityKey,
    EntityRow,
    PropertyRow,
    RecordSource,
    RequestSource,
    Source,
    TemporalRow,
)
from storage.write.erasure_ledger import dated, surviving

AT = datetime(2025, 6, 1, tzinfo=UTC)
AHEAD = AT + timedelta(minutes=30)
ERASED = {EntityKey("user", "a"): Erasure(erased_at=AT, log_ends={"t": [10]})}


def rows(source: Source | None, told_at: datetime = AHEAD) -> Batch:
    """One of each kind about `a`, of the edge at either end."""
    return Batch(
        entities=[EntityRow("user", "a", told_at, source)],
        properties=[PropertyRow("user", "a", "f", "1", "2025", told_at, source)],
        edges=[
            EdgeRow("user", "a", "user", "b", "knows", None, told_at, source),
            EdgeRow("user", "b", "user", "a", "knows", None, told_at, source),
        ],
        temporal=[TemporalRow("user", "a", "k", "day", AT, "2025-06-01", AT, 0, "1", told_at, source)],
    )


def test_no_row_of_a_record_that_lay_in_its_topic_is_left() -> None:
    assert len(surviving(rows(RecordSource("t", 0, 9)), ERASED)) == 0


def test_rows_of_later_records_and_of_requests_are_left() -> None:
    for source in (RecordSource("t", 0, 10), RequestSource("r"), None):
        assert len(surviving(rows(source), ERASED)) == 5
        assert len(surviving(rows(source, AT), ERASED)) == 0


def test_rows_about_others_are_left() -> None:
    other = {EntityKey("device", "a"): ERASED[EntityKey("user", "a")]}
    assert len(surviving(rows(RecordSource("t", 0, 0)), other)) == 5


def test_an_edge_that_lay_in_its_topic_at_a_removal_is_no_later_than_it() -> None:
    minute = timedelta(minutes=1)
    removals = [
        Erasure(erased_at=AT, log_ends={"t": [5]}),
        Erasure(erased_at=AT + minute, log_ends={"t": [10]}),
        Erasure(erased_at=AT + 90 * minute, log_ends={"t": [99]}),
    ]

    def told(offset: int, at: datetime) -> datetime:
        (edge, _) = rows(RecordSource("t", 0, offset), at).edges
        return dated(edge, removals).told_at

    assert told(4, AHEAD) == AT
    assert told(7, AHEAD) == AT + minute
    assert told(20, AHEAD) == AHEAD, "it came later"
    assert told(4, AT - minute) == AT - minute
    assert told(20, AT + 80 * minute) == AT + 80 * minute, (
        "a later removal bounds nothing that was told before it"
    )
    (edge, _) = rows(RequestSource("r")).edges
    assert dated(edge, removals) == edge
