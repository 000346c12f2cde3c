"""Reads one record's JSON into a schema, with errors that a person understands."""

import re
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from app.core.dates import from_epoch_ms
from app.core.errors import InvalidError
from app.core.records import Record

T = TypeVar("T")

_AT: Final = re.compile(r"(?P<what>.*?) - at `(?:key in )?`?\$\.?(?P<path>[^`]*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`")


def decode_record(record: Record, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a record's value. Raises InvalidError: no value, not UTF-8, not JSON, or not of the schema."""
    value = record.value
    if value is None:
        raise InvalidError("The record has no value (a tombstone).", code="tombstone")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"The record is not UTF-8: byte {error.start} can't be read.", code="invalid-utf8"
        ) from None
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise schema_error(str(error), whole="The record") from None
    except RecursionError:
        raise InvalidError("The record is nested too deeply.", code="nested-too-deep") from None
    except msgspec.DecodeError as error:
        raise InvalidError(f"The record is not JSON: {error}.", code="invalid-json") from None


def told_at_of(record: Record) -> datetime:
    """When the record was told: its timestamp. Raises InvalidError where that is no date."""
    try:
        return from_epoch_ms(record.timestamp)
    except OverflowError:  # microseconds in place of milliseconds, say
        raise InvalidError(
            "The record's timestamp is beyond the year 9999; Kafka counts milliseconds since 1970.",
            code="invalid-date",
            field="timestamp",
        ) from None


def schema_error(message: str, *, whole: str, within: str = "") -> InvalidError:
    """A validator's message as an error that names the field: `… - at `$.edges[0].type``.

    `within` is the path of what was validated, where it is a part of `whole`.
    """
    at = _AT.match(message)
    what, path = (at["what"], at["path"]) if at else (message, "")
    path = f"{within}.{path}" if within and path else within or path
    missing = _MISSING.match(what)
    if missing:
        field = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidError(f"{field} is missing.", code="missing-field", field=field)
    what = what.replace("`", "")
    return InvalidError(
        f"{path or whole} has the wrong type or range: {what[:1].lower()}{what[1:]}.",
        code="ill-typed-field",
        field=path or None,
    )
