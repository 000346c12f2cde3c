"""Envelopes for tests: captured ones (Debezium 3.7 on our schema) and made ones of the same form."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CAPTURED: dict[str, Any] = json.loads((Path(__file__).parent / "samples/envelopes.json").read_text())
NAMES = list(_CAPTURED)


@dataclass(kw_only=True)
class FakeRecord:
    value: bytes | None
    key: bytes | None = None
    offset: int = 0
    partition: int = 0
    topic: str = "user-profile.cdc.all-tables"
    timestamp: int = 1_758_578_807_900
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def captured(name: str) -> bytes:
    return spelled(_CAPTURED[name]["value"])


def spelled(value: Any) -> bytes:
    """As Kafka Connect spells JSON: without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def spelled_with_blanks(value: bytes) -> bytes:
    """The same, which is then read step by step."""
    return json.dumps(json.loads(value)).encode()


def entity(**columns: Any) -> dict[str, Any]:
    return {"id": 7, "type": "user", "reference": "u-7", "properties": "{}"} | columns


def edge(
    *, number: int = 1, left: int = 7, right: int = 13, kind: str = "member_of", **more: Any
) -> dict[str, Any]:
    row = {"id": number, "left_entity_id": left, "right_entity_id": right, "relationship_type": kind}
    return row | {"metadata": None, "metadata_date": None, "removed_at": None} | more


def point(
    *,
    entity_id: int = 7,
    key: str = "tpv",
    value: str = "1",
    date: str = "2025-10-05T14:59:59.000000Z",
    period_start: str = "2025-10-01T00:00:00.000000Z",
    version: int = 0,
) -> dict[str, Any]:
    return {
        "entity_id": entity_id,
        "key": key,
        "granularity": "month",
        "period_start": period_start,
        "reference_date": date,
        "version": version,
        "value": value,
        "idempotency_key": f"{entity_id}:{key}:month:2025-10",
    }


def envelope(
    table: str,
    op: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    *,
    lsn: int = 1000,
    tx_id: int = 900,
    ts_ms: int = 1_758_578_807_845,
    sequence: str = '["990","1000"]',
) -> bytes:
    """The bytes of a change, committed at 2025-09-22T22:06:47.845Z unless told otherwise."""
    source = {"table": table, "lsn": lsn, "txId": tx_id, "ts_ms": ts_ms, "ts_us": ts_ms * 1000 + 1}
    return spelled({"before": before, "after": after, "source": source | {"sequence": sequence}, "op": op})


def create(table: str, after: dict[str, Any], **more: Any) -> bytes:
    return envelope(table, "c", None, after, **more)


def update(table: str, before: dict[str, Any], after: dict[str, Any], **more: Any) -> bytes:
    return envelope(table, "u", before, after, **more)


def delete(table: str, before: dict[str, Any], **more: Any) -> bytes:
    return envelope(table, "d", before, None, **more)
