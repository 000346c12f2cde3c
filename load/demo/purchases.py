"""What the demo expects: the sums of each user and month, straight from the data and not through the service."""

import argparse
from dataclasses import dataclass

from load.generate import source_events
from load.generate.purchases import Totals, UserPeriod, by_month, overall


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchases:
    """The purchases that `source-events` sends, summed; duplicates are not in it."""

    references: list[str]  # every user with a payment, in the order of the data
    months: dict[UserPeriod, Totals]
    total: Totals


def expected_purchases(data: str) -> Purchases:
    """The sums of `source-events --data <data>` with its other options at their defaults. Raises LoadError."""
    parser = argparse.ArgumentParser()
    source_events.add_arguments(parser)
    args = parser.parse_args(["--data", data])
    months = {
        key: totals for purchases in source_events.chunks(args) for key, totals in by_month(purchases).items()
    }
    return Purchases(
        references=list(dict.fromkeys(reference for reference, _ in months)),
        months=months,
        total=overall(months.values()),
    )
