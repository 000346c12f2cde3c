"""Purchases of any number of invented users, in any months. Pure; the same for the same seed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from load.generate import people
from load.generate.purchases import Purchase

_MAX_PURCHASES: Final = 24


def purchases(users: range, *, seed: int, since: datetime, until: datetime) -> Iterator[Purchase]:
    """The purchases of these users (by number), from 1 to 24 each, at `since` <= time < `until`."""
    span_s = int((until - since).total_seconds())
    for number in users:
        rng = people.stream(seed, "purchases", number)
        for index in range(1, rng.randrange(1, _MAX_PURCHASES + 1) + 1):
            quantity = rng.randrange(1, 8)
            yield Purchase(
                reference=f"user-generated-{seed}-{number:07d}",
                index=index,
                occurred_at=since + timedelta(seconds=rng.randrange(span_s)),
                quantity=quantity,
                amount_cents=quantity * rng.randrange(499, 9_999),
            )
