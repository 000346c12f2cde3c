"""The query and path of a request, strictly.

Unknown query parameters are ignored, so that a client's tracing parameters do no harm. A known one that is
repeated, malformed, or contradicts its alias is a 400; so is a slip in `dry_run`, which would write.
"""

import re
from datetime import datetime
from typing import Final, TypeVar

from aiohttp import web
from multidict import MultiMapping

from app.core import dates, property_paths
from app.core.domain_event import EVENT_TYPES
from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.validation import MAX_REFERENCE_BYTES, MAX_TYPE_BYTES, check_name
from app.ports.graph import Direction
from web.problems import invalid_parameter

DEFAULT_DEPTH: Final = 3
MAX_DEPTH: Final = 10
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_PATH_BYTES: Final = 1024
MAX_VALUE_BYTES: Final = 8192  # a request line can't hold more
MAX_SELECTION_BYTES: Final = 4096
MAX_FOLLOWED_BYTES: Final = MAX_TYPE_BYTES + 1 + MAX_REFERENCE_BYTES
_MAX_ID: Final = 2**63 - 1
_Given = TypeVar("_Given", int, datetime)

_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_LEDGER_ID: Final = re.compile(r"[0-9a-f]{64}")
_LOST_PLUS: Final = re.compile(r" (\d\d:\d\d)\Z")  # an unencoded + of an offset arrives as a space


def limit(request: web.Request) -> int:
    """Read `limit`: 1 to 100 items a page, 20 by default. Raises ProblemError."""
    found = _number(request.rel_url.query, "limit", MAX_LIMIT)
    return DEFAULT_LIMIT if found is None else found


def cursor(request: web.Request) -> str | None:
    """Read `cursor`, opaque. Raises ProblemError where it is repeated."""
    return single(request.rel_url.query, "cursor")


def dry_run(request: web.Request) -> bool:
    """Read `dry_run`: `true` or `false`, false by default. Raises ProblemError."""
    for name in request.rel_url.query if request.rel_url.raw_query_string else ():
        if name != "dry_run" and name.lower().replace("-", "").replace("_", "") == "dryrun":
            raise invalid_parameter(name, f"{name} is not a parameter: did you mean dry_run?")
    return flag(request, "dry_run")


def flag(request: web.Request, name: str) -> bool:
    """Read `true` or `false`, false by default. Raises ProblemError."""
    if not request.rel_url.raw_query_string:
        return False
    text = single(request.rel_url.query, name)
    if text not in (None, "true", "false"):
        raise invalid_parameter(name, f"{name} is neither true nor false.")
    return text == "true"


def listed_type(request: web.Request) -> str | None:
    """Read `type`: entities of this type alone. Raises ProblemError."""
    text = single(request.rel_url.query, "type")
    return None if text is None else _name(text, "type", MAX_TYPE_BYTES)


def direction(request: web.Request) -> Direction:
    """Read `direction`: `out` (away from the entity, the default) or `in` (to it). Raises ProblemError."""
    text = single(request.rel_url.query, "direction")
    if text in (None, "out"):
        return "out"
    if text == "in":
        return "in"
    raise invalid_parameter("direction", "direction is neither out nor in.")


def relationship_type(request: web.Request) -> str | None:
    """Read `type`: relationships of this type alone. Raises ProblemError."""
    text = single(request.rel_url.query, "type")
    return None if text is None else _name(text, "type", MAX_TYPE_BYTES)


def other_type(request: web.Request) -> str | None:
    """Read `entity_type`: relationships whose other end has this type alone. Raises ProblemError."""
    text = single(request.rel_url.query, "entity_type")
    return None if text is None else _name(text, "entity_type", MAX_TYPE_BYTES)


def followed(request: web.Request) -> int | EntityKey | None:
    """Read `entity`: an id, or `type:reference`, of which the first colon ends the type; None for all.

    Raises ProblemError.
    """
    text = single(request.rel_url.query, "entity")
    if text is None:
        return None
    if _NUMBER.fullmatch(text) and 1 <= int(text) <= _MAX_ID:
        return int(text)
    kind, colon, reference = text.partition(":")
    if not (kind and colon and reference):
        raise invalid_parameter("entity", "entity is neither an id nor type:reference.")
    _name(text, "entity", MAX_FOLLOWED_BYTES)
    return EntityKey(kind, reference)


def event_types(request: web.Request) -> frozenset[str]:
    """Read `type`: types of events with commas between them; all without it. Raises ProblemError."""
    text = single(request.rel_url.query, "type")
    if text is None:
        return frozenset(EVENT_TYPES)
    types = frozenset(text.split(","))
    if not types <= set(EVENT_TYPES):
        raise invalid_parameter(
            "type", f"type names no type of event: expected some of {', '.join(EVENT_TYPES)}."
        )
    return types


def last_event_id(request: web.Request) -> str | None:
    """The header Last-Event-ID, else `last_event_id`, since who reconnects repeats an old URL. Raises ProblemError."""
    return request.headers.get("Last-Event-ID") or single(request.rel_url.query, "last_event_id") or None


def entity_id(text: str) -> int:
    """Read an entity's id. Raises ProblemError."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= _MAX_ID:
        raise invalid_parameter("id", "id is not an entity's id: expected a whole number from 1.")
    return number


def ledger_id(text: str) -> str:
    """Read the id of an erasure in the ledger. Raises ProblemError."""
    if not _LEDGER_ID.fullmatch(text):
        raise invalid_parameter(
            "ledger_id", "ledger_id is not that of a receipt: expected 64 hexadecimal digits."
        )
    return text


def property_path(text: str) -> str:
    """Read the dotted path of a property, as app.core.property_paths. Raises ProblemError."""
    _name(text, "prop", MAX_PATH_BYTES)
    if property_paths.is_quoted(text):
        try:
            property_paths.segments_of(text)
        except InvalidError as error:
            raise invalid_parameter("prop", str(error)) from None
    return text


def property_value(text: str) -> str:
    """Read the value that is looked for; it may be empty. Raises ProblemError."""
    return _name(text, "value", MAX_VALUE_BYTES) if text else text


def entity_type(text: str) -> str:
    return _name(text, "type", MAX_TYPE_BYTES)


def entity_reference(text: str) -> str:
    return _name(text, "reference", MAX_REFERENCE_BYTES)


def _name(text: str, parameter: str, max_bytes: int) -> str:
    try:
        return check_name(text, parameter, max_bytes)
    except InvalidError as error:
        raise invalid_parameter(parameter, str(error)) from None


def single(query: MultiMapping[str], name: str) -> str | None:
    """The one value of a parameter; None where it is not given. Raises ProblemError."""
    found = query.getall(name, ())
    if len(found) > 1:
        raise invalid_parameter(name, f"{name} is given {len(found)} times; give it once.")
    return found[0] if found else None


def _number(query: MultiMapping[str], name: str, highest: int) -> int | None:
    text = single(query, name)
    if text is None:
        return None
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= highest:
        raise invalid_parameter(name, f"{name} is out of range: expected a whole number from 1 to {highest}.")
    return number


def depth(query: MultiMapping[str]) -> int:
    """Read `depth` (alias `depthLimit`): 1 to 10 levels of relationships, 3 by default. Raises ProblemError."""
    given = (_number(query, name, MAX_DEPTH) for name in ("depth", "depthLimit"))
    return _agreed("depth", "depthLimit", *given) or DEFAULT_DEPTH


def since(query: MultiMapping[str]) -> datetime | None:
    """Read `period` (alias `startTime`): the date from which temporal data is given. Raises ProblemError."""
    return _agreed("period", "startTime", *(date_of(query, name) for name in ("period", "startTime")))


def date_of(query: MultiMapping[str], name: str) -> datetime | None:
    """A date, RFC 3339 or a day (its midnight). Raises ProblemError."""
    text = single(query, name)
    if text is None:
        return None
    try:
        return dates.parse(_LOST_PLUS.sub(r"+\1", text), field=name)
    except InvalidError as error:
        raise invalid_parameter(name, str(error)) from None


def _agreed(name: str, alias: str, value: _Given | None, other: _Given | None) -> _Given | None:
    if value is None or other is None:
        return other if value is None else value
    if value != other:
        raise invalid_parameter(name, f"{name} and its alias {alias} differ; give one of them.")
    return value
