"""Scenarios that went through PostgreSQL and Debezium: the captured changes, and the events that were published.

tests/integration/cdc/test_golden.py makes the file, and compares each new run with it.
"""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.records import OutgoingEvent, Record
from cdc.events.idempotency import NAMESPACE

PATH: Final = Path(__file__).parent / "samples" / "golden.json"
# What the seed's examples say.
ITEMS = (
    '{"items": [{"mdr": 2, "rav": 999, "amount": 915103, "chargeback": 552, "interchange": 0, '
    '"average_ticket": 585, "payment_method": "pix", "transaction_count": 1564}]}'
)
LEDA = {
    "name": {"value": "Lady Leda Schulist", "reference_date": "2025-09-22T22:24:43Z"},
    "position": {"value": "Manager", "reference_date": "2025-09-22T23:12:49Z"},
    "department": {"value": "Finance", "reference_date": "2025-09-22T23:34:59Z"},
}
VERIFIED = {"verified_at": "2025-05-23T20:32:27.628939Z"}

_PRIMARY_KEYS: Final = {
    "entities": ("id",),
    "edges": ("id",),
    "temporal_properties": ("entity_id", "key", "granularity", "period_start"),
}
_OF_THE_RUN: Final = ("event_idempotency_key", "event_timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`keys` holds the business keys that the changes need from elsewhere: id, type, reference."""

    name: str
    keys: list[tuple[int, str, str]]
    changes: list[dict[str, Any]]  # key and value, parsed
    events: list[dict[str, Any]]  # key, headers and body, parsed


def load() -> dict[str, Scenario]:
    """The file's scenarios by name."""
    return {each["name"]: Scenario(**each) for each in json.loads(PATH.read_text())}


def changes(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Records of the CDC topic, as the file has them."""
    return [{"key": json.loads(r.key or b"null"), "value": json.loads(r.value or b"null")} for r in records]


def told(event: OutgoingEvent) -> dict[str, Any]:
    """A published event, as the file has it."""
    headers = {name: value.decode() for name, value in event.headers}
    assert len(headers) == len(event.headers)
    return {"key": event.key.decode(), "headers": headers, "body": json.loads(event.value)}


def without_the_run(event: dict[str, Any]) -> dict[str, Any]:
    """What is the same in each run: all but identity and time."""
    headers = {name: value for name, value in event["headers"].items() if name != "event_id"}
    body = {name: value for name, value in event["body"].items() if name not in _OF_THE_RUN}
    return {"key": event["key"], "headers": headers, "body": body}


def identity(change: dict[str, Any], operation: str) -> tuple[str, str]:
    """The idempotency key and the id of a change's event, made as docs/events.md says and not by our code."""
    value = change["value"]
    source, row = value["source"], value["after"] or value["before"]
    primary_key = "|".join(str(row[column]) for column in _PRIMARY_KEYS[source["table"]])
    text = f"{source['lsn']}|{source['txId']}|{source['ts_us']}|{source['table']}|{primary_key}|{operation}"
    key = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return key, str(uuid.uuid5(NAMESPACE, key))
