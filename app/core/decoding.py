"""Reads one record's JSON into a schema, with errors that a person understands."""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from app.core.dates import from_epoch_ms
from app.core.errors import InvalidError
from app.core.field_paths import join
from app.core.json_shapes import Shape, shape_of
from app.core.models import RecordSource
from app.core.oversized import refuse_oversized
from app.core.records import Record

T = TypeVar("T")

_AT: Final = re.compile(r"(?P<what>.*?) - at `(?:key in )?`?\$\.?(?P<path>[^`]*)`\Z", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`")
_ESCAPED_NAME: Final = re.compile(rb'\\u[\\\w]*"\s*:')  # a plain name that is spelled with escapes
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`\Z", re.DOTALL)


def decode_record(record: Record, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a record's value. Members that the schema does not have are ignored.

    Raises InvalidError: no value, of a batch that is too large, not UTF-8, not JSON, not of the schema, or one of its
    members twice.
    """
    value = record.value
    if value is None:
        raise InvalidError("The record has no value (a tombstone).", code="tombstone")
    refuse_oversized(value)
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(
            f"The record is not UTF-8: byte {error.start} can't be read.", code="invalid-utf8"
        ) from None
    try:
        decoded = decoder.decode(value)
    except msgspec.ValidationError as error:
        raise schema_error(str(error), whole="The record", shape=shape_of(decoder.type)) from None
    except RecursionError:
        raise InvalidError("The record is nested too deeply.", code="nested-too-deep") from None
    except msgspec.DecodeError as error:
        raise InvalidError(f"The record is not JSON: {error}.", code="invalid-json") from None
    if _may_repeat(value, decoded, decoder):
        shape_of(decoder.type).check_names(value)
    return decoded


def _may_repeat(value: bytes, decoded: object, decoder: msgspec.json.Decoder[T]) -> bool:
    """Whether a member may come twice; a count of names, which costs about a microsecond, rules it out mostly."""
    own, lists = _names(decoder)
    for name in own:
        if value.count(name) > 1:
            return True
    for of_list, required, optional in lists:
        most = len(getattr(decoded, of_list))
        for name in required:
            if value.count(name) > most:
                return True
        for name in optional:  # how many of the items have it is not known without a look at each
            if value.count(name) > 1:
                return True
    return b"\\u" in value and _ESCAPED_NAME.search(value) is not None


@lru_cache(maxsize=16)
def _names(
    decoder: msgspec.json.Decoder[T],
) -> tuple[list[bytes], list[tuple[str, list[bytes], list[bytes]]]]:
    """The names of a struct, spelled as JSON; for each of its lists, the names that the items must and may have."""
    shape = shape_of(decoder.type)
    lists = [
        (
            name,
            _spelled(part.items.members.keys() & part.items.required),
            _spelled(part.items.members.keys() - part.items.required),
        )
        for name, part in shape.members.items()
        if part.items is not None
    ]
    return _spelled(shape.members), lists


def _spelled(names: Iterable[str]) -> list[bytes]:
    return [f'"{name}"'.encode() for name in names]


def told_at_of(record: Record) -> datetime:
    """The timestamp of the record. Raises InvalidError where that is no date."""
    try:
        return from_epoch_ms(record.timestamp)
    except OverflowError:  # microseconds in place of milliseconds, say
        raise InvalidError(
            "The record's timestamp is beyond the year 9999; Kafka counts milliseconds since 1970.",
            code="invalid-date",
            field="timestamp",
        ) from None


def source_of(record: Record) -> RecordSource:
    """Where the record lies."""
    return RecordSource(record.topic, record.partition, record.offset)


def schema_error(message: str, *, whole: str, shape: Shape, within: str = "") -> InvalidError:
    """A validator's message as an error that names the field: `… - at `$.edges[0].type``.

    `shape` is that of what was validated, and `within` its path where it is a part of `whole`.
    """
    at = _AT.match(message)
    what, inner = (at["what"], at["path"]) if at else (message, "")
    path = f"{within}.{inner}" if within and inner else within or inner
    missing, unknown = _MISSING.match(what), _UNKNOWN.match(what)
    if missing:
        field = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidError(f"{field} is missing.", code="missing-field", field=field)
    if unknown:
        field, meant = join(path, unknown["name"]), shape.at(inner).similar(unknown["name"])
        hint = f": did you mean {meant}?" if meant else "."
        return InvalidError(
            f"{field} is not a member that is known here{hint}", code="unknown-field", field=field
        )
    what = what.replace("`", "")
    return InvalidError(
        f"{path or whole} has the wrong type or range: {what[:1].lower()}{what[1:]}.",
        code="ill-typed-field",
        field=path or None,
    )
