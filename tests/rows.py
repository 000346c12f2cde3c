"""Short ways to write rows of batches, for tests."""

from datetime import UTC, datetime, timedelta

from app.core import dates
from app.core.models import EdgeRow, EntityKey, EntityRow, Granularity, PropertyRow, TemporalRow

DAY0 = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def at(seconds: int) -> datetime:
    """A date that many seconds after DAY0."""
    return DAY0 + timedelta(seconds=seconds)


def user(reference: str) -> EntityKey:
    return EntityKey("user", reference)


def entity(reference: str, told_at: datetime = DAY0) -> EntityRow:
    return EntityRow("user", reference, told_at)


def prop(reference: str, field: str, value: str, seconds: int = 0, told_at: datetime = DAY0) -> PropertyRow:
    return PropertyRow("user", reference, field, value, dates.to_text(at(seconds)), told_at)


def edge(
    left: str, right: str, kind: str = "knows", *, metadata: str | None = None, seconds: int = 0
) -> EdgeRow:
    return EdgeRow("user", left, "user", right, kind, metadata, at(seconds))


def point(
    reference: str,
    key: str,
    value: str,
    *,
    granularity: Granularity = "month",
    date: datetime = DAY0,
    version: int = 0,
    told_at: datetime = DAY0,
) -> TemporalRow:
    start, period = dates.period_of(date, granularity)
    return TemporalRow("user", reference, key, granularity, start, period, date, version, value, told_at)
