"""The payloads of the five source systems, each in its own manner. Pure; flink/README.md documents them.

Ids of events derive from what they tell, so that the same event has the same id whenever it is sent.
"""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import orjson

from app.core.dates import period_of
from load.generate import people
from load.generate.customers import Customer, Organisation, account_of
from load.generate.purchases import Purchase
from load.generate.sending import Message

_NAMESPACE: Final = uuid.UUID("5b0c2f0e-93a4-4d5b-8f3e-3a3a2f8f1997")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAO_PAULO: Final = timezone(timedelta(hours=-3))


def payment(purchase: Purchase) -> Message:
    """payment.events: flat, snake_case, RFC 3339 in UTC, integer cents; every fourth names only the account."""
    who = (
        {"account_id": account_of(purchase.reference)}
        if purchase.index % 4 == 3
        else {"customer_id": purchase.reference}
    )
    body = {
        "event_id": _id("payment", purchase.reference, purchase.index),
        **who,
        "amount_cents": purchase.amount_cents,
        "quantity": purchase.quantity,
        "occurred_at": _utc(purchase.occurred_at),
    }
    return _message(purchase.reference, body, purchase.occurred_at)


def account(customer: Customer) -> Message:
    """account.events, account.opened: nested, camelCase, milliseconds since 1970, documents with dots."""
    body = {
        "meta": {
            "eventId": _id("account", customer.reference),
            "kind": "account.opened",
            "occurredAt": _ms(customer.joined_at),
            "origin": "generated",
        },
        "account": {"accountId": customer.account, "status": "ACTIVE", "currency": "USD"},
        "owner": {
            "customerId": customer.reference,
            "taxId": {"kind": "CPF", "value": _dotted(customer.cpf, "###.###.###-##")},
        },
        "memberships": [{"organizationId": customer.organisation, "role": customer.role.upper()}],
    }
    return _message(customer.reference, body, customer.joined_at)


def organisation(firm: Organisation) -> Message:
    """account.events, organization.registered."""
    body = {
        "meta": {
            "eventId": _id("organization", firm.reference, firm.registered_at),
            "kind": "organization.registered",
            "occurredAt": _ms(firm.registered_at),
            "origin": "generated",
        },
        "organization": {
            "organizationId": firm.reference,
            "tradeName": firm.trade_name,
            "taxId": {"kind": "CNPJ", "value": _dotted(firm.cnpj, "##.###.###/####-##")},
            "affiliations": [
                {"affiliationId": reference, "status": "ACTIVE", "paymentMethods": methods}
                for reference, methods in firm.affiliations
            ],
        },
    }
    return _message(firm.reference, body, firm.registered_at)


def crm(customer: Customer) -> Iterator[Message]:
    """crm.events: PascalCase, local time with its offset; a first record, then the one that holds."""
    for index, (at, status, department) in enumerate(
        (
            (customer.joined_at, "PROSPECT", None),
            (customer.updated_at, customer.status.upper(), customer.department),
        )
    ):
        employment = {"Employment": {"Department": department}} if department else {}
        body: dict[str, object] = {
            "Id": _id("crm", customer.reference, index),
            "Kind": "CustomerUpdated" if index else "CustomerCreated",
            "Timestamp": at.astimezone(_SAO_PAULO).isoformat(timespec="milliseconds"),
            "DataOrigin": {"attributes": "generated", "purchases": customer.purchases_origin},
            "Customer": {
                "ExternalRef": customer.reference,
                "Name": {"First": customer.first_name, "Last": customer.last_name},
                "EmailAddress": f" {customer.email.title()}" if index == 0 else customer.email,
                "Phone": _spaced(customer.phone),
                "Status": status,
                "CreditScore": customer.credit_score,
                **employment,
            },
            "Consent": {"Marketing": customer.marketing_consent},
            "Manager": {"EmployeeId": customer.manager[0], "Name": customer.manager[1]},
        }
        yield _message(customer.reference, body, at)


def cdp(customer: Customer) -> Message:
    """cdp.events: snake_case, RFC 3339 with microseconds, lists of traits, devices and segments."""
    rng = people.stream("traits", customer.reference)
    at = customer.updated_at.replace(microsecond=rng.randrange(1_000_000))
    body = {
        "message_id": _id("cdp", customer.reference),
        "type": "identify",
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "user_id": customer.reference,
        "origin": "generated",
        "traits": [
            {"name": "nps", "value": rng.randrange(11)},
            {"name": "churn_risk", "value": orjson.Fragment(f"0.{rng.randrange(1000):03d}")},
            {"name": "newsletter", "value": rng.random() < 0.5},
            {"name": "favourite_genres", "value": rng.sample(("jazz", "rock", "mpb", "classical"), k=2)},
            {"name": "preferences", "value": {"language": "pt-BR", "theme": rng.choice(("dark", "light"))}},
        ],
        "devices": [
            {
                "id": device.reference,
                "platform": device.platform,
                "last_seen": _ms(device.last_seen_at) // 1000,
            }
            for device in customer.devices
        ],
        "segments": [
            {"id": f"seg-{customer.segment}", "affinity": orjson.Fragment(customer.affinity)},
        ],
    }
    return _message(customer.reference, body, at)


def metrics(customer: Customer) -> Iterator[Message]:
    """aggregated.metrics: a period's label instead of a date, seconds since 1970, revisions out of order."""
    rng = people.stream("metrics", customer.reference)
    moment = customer.updated_at
    labels = {"MONTHLY": period_of(moment, "month")[1], "QUARTERLY": period_of(moment, "quarter")[1]}
    for grain, label in labels.items():
        sessions = rng.randrange(1, 60)
        revisions = [1, 2] if rng.random() < 0.2 else [1]
        rng.shuffle(revisions)
        for revision in revisions:
            at = moment + timedelta(hours=revision)
            body = {
                "uid": _id("metrics", customer.reference, grain, label, revision),
                "subject": f"user/{customer.reference}",
                "metric": "engagement",
                "grain": grain,
                "period": label,
                "revision": revision,
                "computed_at": _ms(at) // 1000,
                "measures": {
                    "sessions": sessions + revision,
                    "minutes_per_session": orjson.Fragment(f"{rng.randrange(1, 30)}.{rng.randrange(10)}0"),
                    "data_origin": "generated",
                },
            }
            yield _message(customer.reference, body, at)


def malformed(topic: str, at: datetime) -> Iterator[Message]:
    """A few records that no contract allows: not JSON, not UTF-8, nothing where something must be."""
    timestamp_ms = _ms(at)
    for index, value in enumerate((b'{"broken": ', b"\xff\xfe not text", b"{}", b"[1, 2, 3]")):
        yield Message(f"malformed-{topic}-{index}".encode(), value, timestamp_ms)


def _id(*parts: object) -> str:
    return str(uuid.uuid5(_NAMESPACE, ":".join(map(str, parts))))


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _dotted(digits: str, pattern: str) -> str:
    source = iter(digits)
    return "".join(next(source) if character == "#" else character for character in pattern)


def _spaced(phone: str) -> str:
    return f"{phone[:3]} ({phone[3:5]}) {phone[5:10]}-{phone[10:]}"


def _message(key: str, body: Mapping[str, object], at: datetime) -> Message:
    return Message(key.encode(), orjson.dumps(body), _ms(at))
