"""The identity of a domain event: the same at each delivery of a change, another one for every other."""

import hashlib
import uuid
from typing import Final, Literal

from cdc.envelope import Operation, Row, Source, TemporalRow

# Of event ids. A fixed value of our own; changing it would give every old event a second id.
NAMESPACE: Final = uuid.UUID("6f1d9c0e-5a44-5b0b-9d6c-2f3a7c1e8b57")
_namespace: Final = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)


def idempotency_key(source: Source, row: Row, operation: Operation | Literal["e"]) -> str:
    """MD5, in hexadecimal, of `lsn|txId|ts_us|table|primary key|operation` in UTF-8.

    The primary key is the id, or `entity_id|key|granularity|period_start`. A position alone would not do: the
    rows of one COPY share theirs, and it may occur twice after a failover. `e` is the erasure of an entity, whose row's
    delete is `d`.
    """
    primary_key: int | str
    if isinstance(row, TemporalRow):
        primary_key = f"{row.entity_id}|{row.key}|{row.granularity}|{row.period_start}"
    else:
        primary_key = row.id
    text = f"{source.lsn}|{source.tx_id}|{source.ts_us}|{source.table}|{primary_key}|{operation}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def event_id(key: str) -> str:
    """The UUIDv5 of an idempotency key; `uuid.uuid5` takes twice as long, for each event."""
    digest = _namespace.copy()
    digest.update(key.encode())
    digits = digest.hexdigest()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
