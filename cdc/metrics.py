"""What the CDC parts count, beside app.observability.metrics."""

from typing import Final

from prometheus_client import Counter, Gauge

EVENTS: Final = Counter(
    "profile_cdc_events", "Domain events that the broker acknowledged; repeated deliveries count", ["type"]
)
SKIPPED: Final = Counter(
    "profile_cdc_skipped", "CDC records that gave no domain event, without being wrong", ["reason"]
)
NOTES: Final = Counter(
    "profile_cdc_notes", "Notes of what consumers know that the broker acknowledged", ["change"]
)
LAG: Final = Gauge(
    "profile_cdc_lag_seconds", "Age of the newest change when its domain events were acknowledged"
)
REPEATED: Final = Counter(
    "profile_cdc_repeated_changes", "CDC records whose invalidation was repeated and taken by the cache"
)
REPEATER_RETRIES: Final = Counter(
    "profile_cdc_repeater_retries", "Attempts of the cache repeater that failed, by what failed", ["step"]
)
REPEATER_LAG: Final = Gauge(
    "profile_cdc_repeater_lag_seconds", "Age of the newest change when the cache took its invalidation"
)
