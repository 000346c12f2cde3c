"""Members that several bodies share, annotated for the API's description.

The annotations describe what app.core.validation and app.core.dates check: their errors name the rule, a validator's
do not. Lengths are bytes of UTF-8, of which JSON Schema knows nothing: the longest text in characters stands there.
"""

from typing import Annotated, Final

from msgspec import Meta

from app.core import dates, validation

_NO_NUL: Final = "^[^\\u0000]*$"


def _name(max_bytes: int, what: str) -> Meta:
    return Meta(
        description=f"{what}; at most {max_bytes} bytes of UTF-8, without U+0000.",
        extra_json_schema={"minLength": 1, "maxLength": max_bytes, "pattern": _NO_NUL},
    )


TYPE: Final = Meta(
    description=f"An entity's type; at most {validation.MAX_TYPE_BYTES} bytes of UTF-8. `unknown` is reserved.",
    extra_json_schema={
        "minLength": 1,
        "maxLength": validation.MAX_TYPE_BYTES,
        "pattern": _NO_NUL,
        "not": {"const": "unknown"},
    },
)
REFERENCE: Final = _name(validation.MAX_REFERENCE_BYTES, "An entity's reference, unique for its type")
DATE: Final = Meta(
    description="RFC 3339, or a date (its midnight); without an offset it is UTC. Years 0001 to 9999; "
    "offsets up to 23:59, neither 24:00 nor leap seconds. That of a property may be a day later than the request "
    "(PROFILE_PROPERTY_MAX_AHEAD_S).",
    extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}], "minLength": 10},
)
VALUE: Final = Meta(
    description=f"Any JSON value, at most {validation.MAX_DEPTH} levels deep. No digit of a number is lost."
)
METADATA: Final = Meta(
    description="What is told of the relationship.",
    extra_json_schema={"type": ["object", "null"]},
)
PROPERTIES: Final = Meta(
    description="Values by the names of their properties.",
    extra_json_schema={
        "propertyNames": {"minLength": 1, "maxLength": validation.MAX_FIELD_BYTES, "pattern": _NO_NUL}
    },
)

Type = Annotated[str, TYPE]
Reference = Annotated[str, REFERENCE]
Date = Annotated[str, DATE]
Field = Annotated[str, _name(validation.MAX_FIELD_BYTES, "The name of a property")]
Key = Annotated[str, _name(validation.MAX_KEY_BYTES, "The series")]
RelationshipType = Annotated[str, _name(validation.MAX_RELATIONSHIP_BYTES, "What the relationship means")]
Granularity = Annotated[
    str,
    Meta(
        description="How long a period is. `daily`, `weekly` and so on mean the same.",
        extra_json_schema={"enum": list(dates.GRANULARITIES)},
    ),
]
