"""The body of a dead letter."""

import msgspec


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes of a record: `text` where they are UTF-8, else `base64`."""

    text: str | None = None
    base64: str | None = None


class Letter(msgspec.Struct, frozen=True):
    """A record that could not be processed. `topic`, `partition`, `offset`, `timestamp` and `key` are the record's own.

    `payload` is there where it was asked for; it is null for a record without a value, a tombstone.
    """

    id: str
    topic: str
    partition: int | None
    offset: int | None
    timestamp: str | None
    error: str
    reason: str
    key: Content | None
    payload: Content | msgspec.UnsetType | None = msgspec.UNSET
