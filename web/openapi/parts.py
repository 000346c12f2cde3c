"""Parameters and headers of operations, with the limits that the handlers check."""

from typing import Any, Final

from app.core import validation
from app.core.consistency_token import HEADER as TOKEN
from app.core.domain_event import EVENT_TYPES as EVENT_TYPES_OF_FEED
from web.http import access_log, parameters

Part = dict[str, Any]

REQUEST_ID: Final = str(access_log.REQUEST_ID)  # aiohttp's own kind of text is not JSON's

_DATE: Final = {
    "type": "string",
    "minLength": 10,
    "anyOf": [{"format": "date-time"}, {"format": "date"}],
}
_NO_NUL: Final = "^[^\\u0000]+$"


def _query(name: str, schema: Part, description: str, **more: Any) -> Part:
    return {"name": name, "in": "query", "schema": schema, "description": description, **more}


def path(name: str, schema: Part, description: str, example: object) -> Part:
    """A segment of the path; what it holds is percent-encoded, slashes too."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": description,
        "example": example,
    }


def text(max_bytes: int) -> Part:
    """A name of so many bytes of UTF-8 at most."""
    return {"type": "string", "minLength": 1, "maxLength": max_bytes, "pattern": _NO_NUL}


ID: Final = path(
    "id",
    {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1},
    "The entity's id.",
    123,
)
TYPE: Final = path("type", text(validation.MAX_TYPE_BYTES), "The entity's type.", "user")
REFERENCE: Final = path("reference", text(validation.MAX_REFERENCE_BYTES), "Its reference.", "user-12345")
PROP: Final = path(
    "prop",
    text(parameters.MAX_PATH_BYTES),
    "The property, dotted where its value is an object (`document.number`). A name that holds dots, or begins with a "
    'quote, stands in double quotes: `"utm.source".medium`; within them `\\"` is a quote and `\\\\` a backslash.',
    "email",
)
VALUE: Final = path(
    "value",
    {"type": "string", "maxLength": parameters.MAX_VALUE_BYTES, "pattern": "^[^\\u0000]*$"},
    "The JSON string, or the JSON number, boolean or null that it spells. Strings match byte for byte: case, blanks "
    "and Unicode forms (é as one character or as two) count.",
    "joao@email.com",
)
LEDGER_ID: Final = path(
    "ledger_id",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "The id of an erasure in the ledger.",
    "5f0c" * 16,
)
PROBLEM: Final = path("name", {"type": "string"}, "The problem's name.", "not-found")

_LEVELS: Final = {"type": "integer", "minimum": 1, "maximum": parameters.MAX_DEPTH}
_SINCE: Final = "The date from which temporal data is given (RFC 3339, or a date: its midnight, UTC)."
_OLD_NAME: Final = "Older name of `{}`; where both are given, they have to agree."
DEPTH_AND_ALIAS: Final = (
    _query("depth", {**_LEVELS, "default": parameters.DEFAULT_DEPTH}, "Levels of relationships."),
    _query("depthLimit", _LEVELS, _OLD_NAME.format("depth"), deprecated=True),
)
DEPTH_AND_PERIOD: Final = (
    *DEPTH_AND_ALIAS,
    _query("period", _DATE, _SINCE, example="2025-01-01T00:00:00Z"),
    _query("startTime", _DATE, _OLD_NAME.format("period"), deprecated=True),
)
AS_OF: Final = _query(
    "as_of",
    _DATE,
    "The date up to which temporal data is given, itself included; a date without a time means its whole day, UTC.",
    example="2025-12-31",
)
FIELDS: Final = _query(
    "fields",
    {"type": "string", "maxLength": parameters.MAX_SELECTION_BYTES, "pattern": _NO_NUL},
    "What of each entity is given beside its id, type and reference, separated by commas: the members `properties`, "
    "`created_at`, `updated_at`, `edges` and `temporal_data`; single ones as `properties.name` and "
    "`temporal_data.key`; any other name is a property's. Without `edges` relationships are not followed. "
    "A comma or backslash in a name is escaped by a backslash.",
    example="name,status,edges",
)
TYPES: Final = _query(
    "types",
    {"type": "string", "maxLength": parameters.MAX_SELECTION_BYTES, "pattern": _NO_NUL},
    "The types of relationships that are followed, separated by commas (escaped by a backslash).",
    example="has_subscription",
)
SELECTION: Final = (FIELDS, TYPES, AS_OF)
LIMIT: Final = _query(
    "limit",
    {
        "type": "integer",
        "minimum": 1,
        "maximum": parameters.MAX_LIMIT,
        "default": parameters.DEFAULT_LIMIT,
    },
    "Items a page.",
)
CURSOR: Final = _query(
    "cursor",
    {"type": "string"},
    'Where the page starts: from the header `Link: <…>; rel="next"` of the one before.',
)
LISTED_TYPE: Final = _query(
    "type", text(validation.MAX_TYPE_BYTES), "Entities of this type alone.", example="user"
)
RELATIONSHIPS: Final = (
    _query(
        "direction",
        {"type": "string", "enum": ["out", "in"], "default": "out"},
        "Relationships that lead away from the entity, or those that lead to it.",
    ),
    _query(
        "type",
        text(validation.MAX_TYPE_BYTES),
        "Relationships of this type alone.",
        example="has_subscription",
    ),
    _query(
        "entity_type",
        text(validation.MAX_TYPE_BYTES),
        "Relationships whose other end has this type alone.",
        example="user",
    ),
)
FOLLOWED: Final = _query(
    "entity",
    {
        "type": "string",
        "maxLength": parameters.MAX_FOLLOWED_BYTES,
        "pattern": r"^([1-9][0-9]{0,17}|[^\u0000:]+:[^\u0000]+)$",
    },
    "Events about this entity alone, as the source or target of relationships too: its id, or `type:reference`, "
    "of which the first colon ends the type; the id "
    "of a placeholder that was merged into it as well. "
    "That of its erasure comes by id.",
    example="user:user-12345",
)
EVENT_TYPES: Final = {
    **_query(
        "type",
        {"type": "array", "items": {"enum": list(EVENT_TYPES_OF_FEED)}, "minItems": 1},
        "Events of these types alone, separated by commas.",
    ),
    "explode": False,
}
LAST_EVENT_ID: Final = (
    {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": {"type": "string"},
        "description": "The last id that the client got.",
    },
    _query(
        "last_event_id", {"type": "string"}, "The same, where no header can be sent; the header comes first."
    ),
)
LETTER_TOPIC: Final = _query("topic", {"type": "string"}, "Letters of this original topic alone.")
PAYLOAD: Final = _query(
    "payload",
    {"type": "boolean", "default": False},
    "Tell the records' values too: they may be somebody's data.",
)
LETTER: Final = (
    path("topic", {"type": "string"}, "The record's topic.", "entity-properties"),
    path("partition", {"type": "integer", "minimum": 0}, "Its partition.", 0),
    path("offset", {"type": "integer", "minimum": 0}, "Its offset.", 42),
)
DRY_RUN: Final = _query(
    "dry_run",
    {"type": "boolean", "default": False},
    "Write nothing, and answer with what the request would change.",
)

REQUEST_ID_IN: Final = {
    "name": REQUEST_ID,
    "in": "header",
    "schema": {"type": "string"},
    "description": "An id for this request, of 1 to 128 letters, digits and `._:-`; logs and the answer repeat it. "
    "Any other text is replaced.",
}
TOKEN_IN: Final = {
    "name": TOKEN,
    "in": "header",
    "schema": {"type": "string", "pattern": r"^\d{1,20}\.\d{1,10}\.\d{1,10}-[0-9a-f]{1,16}$"},
    "description": "The token of an earlier answer: this one is not older. 503 where nothing that is as new answers.",
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of an answer that the client has; 304 where it still holds.",
}


def _header(description: str, **schema: Any) -> Part:
    return {"description": description, "schema": {"type": "string", **schema}}


HEADERS: Final[dict[str, Part]] = {
    REQUEST_ID: {**_header("The request's id: the client's, or one made here."), "required": True},
    "ETag": _header("Of the content and what was asked; weak.", pattern='^W/"[^"]+"$'),
    "Cache-Status": _header(
        "RFC 9211: `hit` asked PostgreSQL nothing. `detail=unverified`: the primary is down and a replica answered.",
        pattern="^user-profile; ",
    ),
    TOKEN: _header("Send it with later reads, which are then not older than this answer."),
    "Age": {
        "description": "Seconds since the oldest part was read from PostgreSQL; of hits.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "Link": _header("The next page; absent on the last one.", pattern='; rel="next"$'),
    "Retry-After": _header("Seconds.", pattern="^[0-9]+$"),
    "WWW-Authenticate": _header("The scheme, and what is missing (RFC 6750).", pattern="^Bearer "),
    "Allow": _header("The methods that are."),
    "Content-Disposition": _header("The name of a file to keep it in.", pattern="^attachment; filename="),
    "Location": _header("Where the entity is now, or the receipt of its erasure."),
}
