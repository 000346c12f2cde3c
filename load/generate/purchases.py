"""A purchase, and the sums that must come out at the end of the main job. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One payment of one customer; `(reference, index)` names it."""

    reference: str  # of the user
    index: int  # from 1, in the order of the data, per customer
    occurred_at: datetime  # UTC
    quantity: int
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What Flink has to give for a period: integer cents, items, number of distinct payments."""

    amount_cents: int = 0
    quantity: int = 0
    transaction_count: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.amount_cents + other.amount_cents,
            self.quantity + other.quantity,
            self.transaction_count + other.transaction_count,
        )


UserPeriod = tuple[str, str]  # reference of the user; the period as 1997, 1997-01 or 1997-01-31


def by_month(purchases: Iterable[Purchase]) -> dict[UserPeriod, Totals]:
    """The sums of each user and calendar month in UTC."""
    return _grouped(purchases, "%Y-%m")


def by_day(purchases: Iterable[Purchase]) -> dict[UserPeriod, Totals]:
    """The sums of each user and day in UTC, spelled 1997-01-31."""
    return _grouped(purchases, "%Y-%m-%d")


def by_year(purchases: Iterable[Purchase]) -> dict[UserPeriod, Totals]:
    """The sums of each user and year in UTC."""
    return _grouped(purchases, "%Y")


def overall(totals: Iterable[Totals]) -> Totals:
    """The sum of sums."""
    return sum(totals, Totals())


def _grouped(purchases: Iterable[Purchase], period: str) -> dict[UserPeriod, Totals]:
    found: dict[UserPeriod, Totals] = {}
    for purchase in purchases:
        key = (purchase.reference, purchase.occurred_at.strftime(period))
        found[key] = found.get(key, Totals()) + Totals(purchase.amount_cents, purchase.quantity, 1)
    return found
