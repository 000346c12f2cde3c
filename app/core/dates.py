"""Dates as the system compares them: UTC, microseconds, fixed width.

`…59.5Z` sorts before `…59Z` as text, so every date that is stored as text has one spelling.
Periods are calendar periods in UTC; weeks are ISO 8601 weeks.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from app.core.errors import InvalidError
from app.core.models import Granularity

_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-](?:[01]\d|2[0-3]):[0-5]\d))?\Z",
    re.ASCII,
)
# What nearly all producers send. `fromisoformat` reads it as it is; a leap second and the like it refuses.
_PLAIN: Final = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:\d\d(?:\.\d{1,6})?Z\Z", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAYS_OF_MONTH: Final = 31
_encode: Final = msgspec.json.Encoder().encode  # spells a date in a tenth of the time of `isoformat`
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)

GRANULARITIES: Final[dict[str, Granularity]] = {
    "instant": "instant",
    "day": "day",
    "daily": "day",
    "week": "week",
    "weekly": "week",
    "month": "month",
    "monthly": "month",
    "quarter": "quarter",
    "quarterly": "quarter",
    "year": "year",
    "yearly": "year",
    "annual": "year",
}


def parse(text: str, *, field: str) -> datetime:
    """Read an RFC 3339 date-time, or a date (its midnight), as UTC; without an offset it is UTC.

    Digits beyond microseconds are cut. `-00:00` is UTC. An offset has hours up to 23 and minutes up to 59, a time hours
    up to 23 and seconds up to 59: neither 24:00 nor a leap second is one. Raises InvalidError naming `field`.
    """
    try:
        if _PLAIN.match(text):
            return datetime.fromisoformat(text)
        match = _RFC3339.match(text)
        if match is None:
            if _DATE.match(text):
                return datetime.fromisoformat(text).replace(tzinfo=UTC)
        else:
            day, clock, fraction, _, offset = match.groups()
            spelled = f"{day}T{clock}.{(fraction or '')[:6]:0<6}{offset or '+00:00'}"
            return datetime.fromisoformat(spelled).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidError(
        f"{field} is not a date: expected RFC 3339 such as 2025-01-15T10:30:00Z, in the years 0001 to 9999.",
        code="invalid-date",
        field=field,
    )


def to_text(date: datetime) -> str:
    """Spell a UTC date with fixed width: 2025-01-15T10:30:00.000000Z."""
    text = _encode(date)[1:-1].decode()
    return text if "." in text else f"{text[:19]}.000000Z"


def from_epoch_ms(milliseconds: int) -> datetime:
    """The date of a Kafka timestamp (milliseconds since 1970, UTC)."""
    return _EPOCH + milliseconds * _MILLISECOND


def to_epoch_ms(date: datetime) -> int:
    """The earliest Kafka timestamp that is not before `date`."""
    return -((_EPOCH - date) // _MILLISECOND)


def kept_from(now: datetime, months: int | None) -> datetime | None:
    """The first reference date of points that are kept: answers leave out what is before it, and it may be deleted.

    It is the midnight (UTC) that begins the day of `now`, less `months` of 31 days. So it holds for a day, as tags of
    answers do. None: all points are kept.
    """
    if months is None:
        return None
    try:
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=_DAYS_OF_MONTH * months)
    except OverflowError:  # more months than there are dates
        return None


def latest_for(told_at: datetime, ahead: timedelta) -> datetime:
    """The latest date that a property may have in a statement of `told_at`."""
    try:
        return told_at + ahead
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def too_far_ahead(field: str, ahead: timedelta) -> InvalidError:
    """The error of a property's date beyond `latest_for`."""
    return InvalidError(
        f"{field} is more than {ahead.total_seconds():.0f} s later than its statement was made "
        "(PROFILE_PROPERTY_MAX_AHEAD_S): later values of the property would have no effect until then.",
        code="date-too-far-ahead",
        field=field,
    )


def granularity(text: str, *, field: str) -> Granularity:
    """Read a granularity or one of its aliases (`daily`, `monthly`, …). Raises InvalidError."""
    found = GRANULARITIES.get(text)
    if found is None:
        raise InvalidError(
            f"{field} is not a granularity: expected instant, day, week, month, quarter or year.",
            code="invalid-granularity",
            field=field,
        )
    return found


def period_of(date: datetime, size: Granularity) -> tuple[datetime, str]:
    """The start of the UTC calendar period that holds `date`, and its name in idempotency keys."""
    if size == "instant":
        return date, to_text(date)
    day = to_text(date)[:10]
    match size:
        case "day":
            return datetime(date.year, date.month, date.day, tzinfo=UTC), day
        case "week":
            iso = date.isocalendar()
            midnight = datetime(date.year, date.month, date.day, tzinfo=UTC)
            try:
                start = midnight - timedelta(days=iso.weekday - 1)
            except OverflowError:  # the first days of year 1 belong to a week of the year before
                start = midnight
            return start, f"{iso.year:04d}-W{iso.week:02d}"
        case "month":
            return datetime(date.year, date.month, 1, tzinfo=UTC), day[:7]
        case "quarter":
            quarter = (date.month - 1) // 3
            return datetime(date.year, quarter * 3 + 1, 1, tzinfo=UTC), f"{day[:4]}-Q{quarter + 1}"
        case "year":
            return datetime(date.year, 1, 1, tzinfo=UTC), day[:4]
