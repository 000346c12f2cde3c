"""What the three payloads have in common: the names of entities."""

from typing import Final

from app.core.errors import InvalidError
from app.core.validation import MAX_REFERENCE_BYTES, MAX_TYPE_BYTES, check_name

UNKNOWN: Final = "unknown"


def check_entity(entity_type: str, reference: str, type_field: str, reference_field: str) -> None:
    """Raise InvalidError where an entity can't bear this type and reference."""
    check_name(entity_type, type_field, MAX_TYPE_BYTES)
    if entity_type == UNKNOWN:
        raise InvalidError(
            f"{type_field} is `unknown`, which is kept for placeholders; a record names its type.",
            code="reserved-type",
            field=type_field,
        )
    check_name(reference, reference_field, MAX_REFERENCE_BYTES)
