"""Invented attributes of customers: what the CDNOW file does not have. Pure; the same for the same seed.

Everything here is marked as generated where it is sent (`data_origin`). The first customer is the one of the
documentation's examples: João Silva, joao@email.com, Finance, active.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from load.generate import people
from load.generate.purchases import Purchase

CUSTOMERS_PER_ORGANISATION: Final = 5
_DEPARTMENTS: Final = ("Finance", "Sales", "Engineering", "Support", "Operations", "Marketing")
_ROLES: Final = ("buyer", "approver", "owner")
_PLATFORMS: Final = ("IOS", "ANDROID", "WEB")
_SEGMENTS: Final = ("loyal", "occasional", "new", "at-risk")
_PAYMENT_METHODS: Final = ("PIX", "VISA", "MASTERCARD", "ELO", "BOLETO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something that a customer uses."""

    reference: str
    platform: str
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """A company with its affiliations (contracts with payment methods)."""

    reference: str
    trade_name: str
    cnpj: str
    registered_at: datetime
    affiliations: list[tuple[str, list[str]]]  # reference, payment methods


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One user with everything that the systems tell about it; dates are UTC."""

    number: int
    reference: str
    account: str
    purchases_origin: str  # cdnow or generated
    joined_at: datetime
    updated_at: datetime
    first_name: str
    last_name: str
    email: str
    phone: str
    cpf: str
    department: str
    status: str
    marketing_consent: bool
    credit_score: int
    manager: tuple[str, str]  # reference, name
    organisation: str
    role: str
    devices: list[Device]
    segment: str
    affinity: str  # a decimal as text, from 0.00 to 1.00


def account_of(reference: str) -> str:
    """The account of a customer."""
    return f"acc-{reference.removeprefix('user-')}"


def of_purchases(purchases: Iterable[Purchase], *, origin: str, seed: int, first: int = 0) -> list[Customer]:
    """One customer for each reference, in the order of their first appearance, numbered from `first`."""
    span: dict[str, tuple[datetime, datetime]] = {}
    for purchase in purchases:
        at = purchase.occurred_at
        begin, end = span.get(purchase.reference, (at, at))
        span[purchase.reference] = (min(begin, at), max(end, at))
    return [
        customer(number, reference, begin=begin, end=end, origin=origin, seed=seed)
        for number, (reference, (begin, end)) in enumerate(span.items(), start=first)
    ]


def customer(
    number: int, reference: str, *, begin: datetime, end: datetime, origin: str, seed: int
) -> Customer:
    """Draw one customer who bought between `begin` and `end`: joined before, and was last updated after."""
    rng = people.stream(seed, "customer", number)
    who = people.person(rng, seed=seed, number=number)
    first_name, _, last_name = who.full_name.partition(" ")
    joined = begin - timedelta(seconds=rng.randrange(60, 86_400))
    known = number == 0
    manager = rng.randrange(40)
    suffix = reference.removeprefix("user-")
    return Customer(
        number=number,
        reference=reference,
        account=account_of(reference),
        purchases_origin=origin,
        joined_at=joined,
        updated_at=end + timedelta(seconds=rng.randrange(60, 86_400)),
        first_name="João" if known else first_name,
        last_name="Silva" if known else last_name,
        email="joao@email.com" if known else who.email,
        phone=f"+5511{rng.randrange(900_000_000, 1_000_000_000)}",
        cpf=who.cpf,
        department="Finance" if known else rng.choice(_DEPARTMENTS),
        status="active" if known else rng.choices(("active", "inactive", "blocked"), (90, 8, 2))[0],
        marketing_consent=rng.random() < 0.6,
        credit_score=rng.randrange(300, 1001),
        manager=(f"emp-{seed}-{manager:03d}", _manager_name(seed, manager)),
        organisation=_organisation_reference(seed, number // CUSTOMERS_PER_ORGANISATION),
        role=rng.choice(_ROLES),
        devices=[
            Device(
                reference=f"dev-{suffix}-{index}",
                platform=rng.choice(_PLATFORMS),
                last_seen_at=(begin + (end - begin) * rng.random()).replace(microsecond=0),
            )
            for index in range(1, rng.randrange(2, 4))
        ],
        segment=rng.choice(_SEGMENTS),
        affinity=f"0.{rng.randrange(100):02d}",
    )


def organisations(customers: Iterable[Customer], *, seed: int) -> list[Organisation]:
    """The organisations of these customers, registered before the first of them joined."""
    founded: dict[int, datetime] = {}
    for one in customers:
        home = one.number // CUSTOMERS_PER_ORGANISATION
        founded[home] = min(founded.get(home, one.joined_at), one.joined_at)
    return [_organisation(seed, number, joined) for number, joined in sorted(founded.items())]


def _organisation(seed: int, number: int, first_joined: datetime) -> Organisation:
    rng = people.stream(seed, "organisation", number)
    firm = people.company(rng)
    reference = _organisation_reference(seed, number)
    return Organisation(
        reference=reference,
        trade_name=firm.trade_name,
        cnpj=firm.cnpj,
        registered_at=(first_joined - timedelta(days=rng.randrange(1, 400))).astimezone(UTC),
        affiliations=[
            (f"{reference.replace('org-', 'aff-')}-{index}", sorted(rng.sample(_PAYMENT_METHODS, k=2)))
            for index in range(1, rng.randrange(2, 4))
        ],
    )


def _organisation_reference(seed: int, number: int) -> str:
    return f"org-{seed}-{number:06d}"


def _manager_name(seed: int, number: int) -> str:
    return people.person(people.stream(seed, "manager", number), seed=seed, number=number).full_name
