"""How requests name entities: by reference, with or without a type."""

from collections.abc import Mapping
from typing import Final

from app.core.errors import AmbiguousReferenceError, InvalidError
from app.core.validation import MAX_REFERENCE_BYTES, MAX_RELATIONSHIP_BYTES, MAX_TYPE_BYTES, check_name

UNKNOWN: Final = "unknown"


def check_type(text: str, field: str) -> str:
    """An entity's type as a request may name it. Raises InvalidError."""
    if text == UNKNOWN:
        raise InvalidError(
            f"{field} is `unknown`, which is kept for placeholders; name the type.",
            code="reserved-type",
            field=field,
        )
    return check_name(text, field, MAX_TYPE_BYTES)


def check_relationship(
    path: str,
    *,
    source_reference: str,
    target_reference: str,
    relationship_type: str,
    source_type: str | None,
    target_type: str | None,
) -> None:
    """Judge the names of a relationship. Raises InvalidError."""
    check_name(source_reference, f"{path}.source_reference", MAX_REFERENCE_BYTES)
    check_name(target_reference, f"{path}.target_reference", MAX_REFERENCE_BYTES)
    check_name(relationship_type, f"{path}.relationship_type", MAX_RELATIONSHIP_BYTES)
    if source_type is not None:
        check_type(source_type, f"{path}.source_type")
    if target_type is not None:
        check_type(target_type, f"{path}.target_type")


def resolve(reference: str, field: str, known: Mapping[str, set[str]]) -> str:
    """The type of a reference without one, `unknown` where nobody bears it. Raises AmbiguousReferenceError."""
    # A placeholder does not compete with the typed entity that it will be merged into.
    candidates = sorted(known.get(reference, set()) - {UNKNOWN})
    if len(candidates) > 1:
        error = AmbiguousReferenceError(reference, candidates)
        error.field = field
        raise error
    return candidates[0] if candidates else UNKNOWN
