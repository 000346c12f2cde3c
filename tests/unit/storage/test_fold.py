"""The fold drops what is strictly older and keeps ties."""

from datetime import UTC, datetime, timedelta

from app.models import EdgeRow, EntityKey, PropertyRow, TemporalRow
from storage import fold

T0 = datetime(2025, 1, 1, tzinfo=UTC)
T1 = T0 + timedelta(seconds=1)


def prop(value: str, date: str, reference: str = "u") -> PropertyRow:
    return PropertyRow("user", reference, "f", value, date)


def test_entities_once_and_sorted() -> None:
    assert fold.entities([EntityKey("b", "1"), EntityKey("a", "2"), EntityKey("b", "1")]) == [
        ("a", "2"),
        ("b", "1"),
    ]


def test_properties_keep_the_latest_date_and_its_ties() -> None:
    rows = [
        prop("1", "2025"),
        prop("2", "2026"),
        prop("3", "2026"),
        prop("2", "2026"),
        prop("9", "2024", "a"),
    ]
    assert fold.properties(rows) == [prop("9", "2024", "a"), prop("2", "2026"), prop("3", "2026")]
    assert sorted(fold.properties(reversed(rows))) == sorted(fold.properties(rows))


def edge(metadata: str | None, told_at: datetime) -> EdgeRow:
    return EdgeRow("user", "u", "org", "o", "member_of", metadata, told_at)


def test_plain_edges_keep_the_latest_time() -> None:
    assert fold.edges([edge(None, T1), edge(None, T0)]) == [edge(None, T1)]


def test_metadata_outlives_a_plain_edge_told_later_whose_time_is_kept_too() -> None:
    assert fold.edges([edge("{}", T0), edge(None, T1)]) == [edge("{}", T0), edge(None, T1)]
    assert fold.edges([edge(None, T0), edge("{}", T1)]) == [edge("{}", T1)]


def test_metadata_ties_stay() -> None:
    assert fold.edges([edge('{"a":1}', T1), edge('{"a":2}', T1), edge("{}", T0)]) == [
        edge('{"a":1}', T1),
        edge('{"a":2}', T1),
    ]


def point(value: str, date: datetime, version: int, period: datetime = T0) -> TemporalRow:
    return TemporalRow("user", "u", "k", "month", period, "2025-01", date, version, value)


def test_points_keep_the_latest_date_then_version_and_twelve_months_stay_apart() -> None:
    assert fold.temporal([point("1", T0, 5), point("2", T0, 7), point("3", T0, 7)]) == [
        point("2", T0, 7),
        point("3", T0, 7),
    ]
    assert fold.temporal([point("1", T0, 9), point("2", T1, 0)]) == [point("2", T1, 0)]
    months = [point("1", T0, 0, datetime(2025, m, 1, tzinfo=UTC)) for m in range(1, 13)]
    assert fold.temporal(months) == months
