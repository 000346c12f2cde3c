"""A seeded graph: users → organisations → affiliations, users → devices, with properties and months.

The same (seed, users, months, until) give the same world, entity by entity, so that the generators of the
three topics and the one of PostgreSQL tell about the same ones. Every date lies before `until`.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Final, NamedTuple

import orjson

from app.core.models import Granularity
from load.generate import people

_USERS_PER_ORGANISATION: Final = 5
_DEPARTMENTS: Final = ("Finance", "Sales", "Engineering", "Support", "Operations", "Marketing")
_PAYMENT_METHODS: Final = ("pix", "visa", "mastercard", "elo", "boleto")


class Fact(NamedTuple):
    """A field of an entity as told at a date."""

    field: str
    value: object
    date: datetime


class Link(NamedTuple):
    """A relationship to another entity."""

    relation: str
    type: str
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entity with its properties and outgoing relationships."""

    type: str
    reference: str
    told_at: datetime
    facts: list[Fact]
    links: list[Link]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a time series; `value` is JSON text, since amounts must not pass through a float."""

    type: str
    reference: str
    key: str
    granularity: Granularity
    period_start: datetime
    date: datetime  # the last instant of the period: constant for it
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a generator draws from; `until` is exclusive and the start of a month in UTC."""

    seed: int
    users: int
    months: int
    until: datetime

    @property
    def organisations(self) -> int:
        return max(1, self.users // _USERS_PER_ORGANISATION)

    def nodes(self) -> Iterator[Node]:
        """All entities, those first that others point at."""
        return chain(
            (node for number in range(self.organisations) for node in self._affiliations(number)),
            (self._organisation(number) for number in range(self.organisations)),
            (device for number in range(self.users) for device in self._devices(number)),
            (self._user(number) for number in range(self.users)),
        )

    def count_nodes(self) -> int:
        return sum(
            (
                self.organisations,
                self.users,
                sum(len(self._affiliation_references(n)) for n in range(self.organisations)),
                sum(len(self._device_references(n)) for n in range(self.users)),
            )
        )

    def points(self) -> Iterator[Point]:
        """All points: `tpv` of affiliations and `transaction_metrics` of users, by month."""
        return chain(
            (p for n in range(self.organisations) for p in self._volumes(n)),
            (p for n in range(self.users) for p in self._metrics(n)),
        )

    def count_points(self) -> int:
        affiliations = sum(len(self._affiliation_references(n)) for n in range(self.organisations))
        return (affiliations + self.users) * self.months

    # --- entities

    def _user(self, number: int) -> Node:
        rng = people.stream(self.seed, "user", number)
        reference = f"user-{_uuid(rng)}"
        who = people.person(rng, seed=self.seed, number=number)
        joined, checked, seen = sorted(self._instant(rng) for _ in range(3))
        facts = [
            Fact("email", {"address": who.email, "verified_at": _text(joined)}, checked),
            Fact("full_name", who.full_name, joined),
            Fact("document", {"type": "cpf", "number": who.cpf}, joined),
            Fact(
                "kyc_status",
                {
                    "approved": rng.random() < 0.9,
                    "verification_level": rng.choice(("basic", "full")),
                    "last_updated": _text(checked),
                },
                checked,
            ),
            Fact("department", rng.choice(_DEPARTMENTS), joined),
            Fact("status", rng.choices(("active", "inactive", "blocked"), (90, 8, 2))[0], seen),
        ]
        homes = rng.sample(range(self.organisations), k=min(self.organisations, 1 + (rng.random() < 0.2)))
        links = [
            Link("member_of", "organization", self._organisation_reference(home)) for home in sorted(homes)
        ]
        links += [Link("uses", "device", device) for device in self._device_references(number)]
        return Node(type="user", reference=reference, told_at=joined, facts=facts, links=links)

    def _organisation(self, number: int) -> Node:
        rng = people.stream(self.seed, "organization", number)
        reference, firm = _organisation_reference(rng), people.company(rng)
        founded = self._instant(rng)
        status = {"overall_status": "active", "kyc_requirements": {"status": "approved"}}
        return Node(
            type="organization",
            reference=reference,
            told_at=founded,
            facts=[
                Fact("trade_name", firm.trade_name, founded),
                Fact("document", firm.cnpj, founded),
                Fact("account_status", status, founded),
            ],
            links=[Link("has", "affiliation", a) for a in self._affiliation_references(number)],
        )

    def _affiliations(self, number: int) -> Iterator[Node]:
        rng = people.stream(self.seed, "affiliations", number, "facts")
        for index, reference in enumerate(self._affiliation_references(number)):
            opened = self._instant(rng)
            yield Node(
                type="affiliation",
                reference=reference,
                told_at=opened,
                facts=[
                    Fact("status", rng.choices(("active", "suspended"), (95, 5))[0], opened),
                    Fact("payment_methods", self._payment_methods(number, index), opened),
                ],
                links=[],
            )

    def _devices(self, number: int) -> Iterator[Node]:
        rng = people.stream(self.seed, "devices", number, "facts")
        for reference in self._device_references(number):
            seen = self._instant(rng)
            facts = [
                Fact("platform", rng.choice(("android", "ios", "web")), seen),
                Fact("last_seen_at", _text(seen), seen),
            ]
            yield Node(type="device", reference=reference, told_at=seen, facts=facts, links=[])

    # --- time series

    def _volumes(self, number: int) -> Iterator[Point]:
        for index, reference in enumerate(self._affiliation_references(number)):
            rng = people.stream(self.seed, "tpv", number, index)
            methods = self._payment_methods(number, index)
            for start, last in self.periods():
                items = [
                    {"amount": count * rng.randrange(500, 60_000), "payment_method": method}
                    | {"transaction_count": count}
                    for method in methods
                    for count in (rng.randrange(1, 30_000),)
                ]
                yield Point(
                    type="affiliation",
                    reference=reference,
                    key="tpv",
                    granularity="month",
                    period_start=start,
                    date=last,
                    value=orjson.dumps({"items": items}).decode(),
                )

    def _metrics(self, number: int) -> Iterator[Point]:
        reference = f"user-{_uuid(people.stream(self.seed, 'user', number))}"
        rng = people.stream(self.seed, "metrics", number)
        for start, last in self.periods():
            count = rng.randrange(1, 60)
            total = Decimal(sum(rng.randrange(500, 150_000) for _ in range(min(count, 8)))) / 100
            average = (total / count).quantize(Decimal("0.01"))
            yield Point(
                type="user",
                reference=reference,
                key="transaction_metrics",
                granularity="month",
                period_start=start,
                date=last,
                value=f'{{"total_amount":{total:.2f},"transaction_count":{count},"avg_ticket":{average}}}',
            )

    def periods(self) -> Iterator[tuple[datetime, datetime]]:
        """The months: their start and their last instant."""
        for back in range(self.months, 0, -1):
            start, end = _add_months(self.until, -back), _add_months(self.until, 1 - back)
            yield start, end - timedelta(microseconds=1)

    # --- what several of these draw

    def _instant(self, rng: random.Random) -> datetime:
        span = self.until - _add_months(self.until, -self.months)
        return self.until - timedelta(microseconds=rng.randrange(1, span // timedelta(microseconds=1)))

    def _organisation_reference(self, number: int) -> str:
        return _organisation_reference(people.stream(self.seed, "organization", number))

    def _affiliation_references(self, number: int) -> list[str]:
        rng = people.stream(self.seed, "affiliations", number)
        return [f"aff-{_uuid(rng)}" for _ in range(rng.randrange(1, 4))]

    def _device_references(self, number: int) -> list[str]:
        rng = people.stream(self.seed, "devices", number)
        return [f"dev-{_uuid(rng)}" for _ in range(rng.randrange(1, 3))]

    def _payment_methods(self, number: int, index: int) -> list[str]:
        rng = people.stream(self.seed, "methods", number, index)
        return rng.sample(_PAYMENT_METHODS, k=rng.randrange(1, 4))


def month_start(now: datetime) -> datetime:
    """The start of the month of `now`, in UTC."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(now: datetime) -> datetime:
    """The start of the month after that of `now`, in UTC."""
    return _add_months(month_start(now), 1)


def _add_months(start: datetime, months: int) -> datetime:
    index = start.year * 12 + start.month - 1 + months
    return start.replace(year=index // 12, month=index % 12 + 1)


def _organisation_reference(rng: random.Random) -> str:
    return f"acc-{rng.getrandbits(64):016x}"


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _text(date: datetime) -> str:
    return date.isoformat().replace("+00:00", "Z")
