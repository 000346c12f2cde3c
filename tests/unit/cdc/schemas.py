"""The schemas of events, and what every event that a test sees is held against."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import jsonschema

import cdc

SCHEMAS: Final[dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in (Path(cdc.__file__).parent / "schemas").glob("*.json")
}
_VALIDATORS: Final = {kind: jsonschema.Draft202012Validator(schema) for kind, schema in SCHEMAS.items()}
_HEADERS: Final = {"event_type", "event_id", "schema_version", "source_service", "fields_changed"}


def require_valid(value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> None:
    """Fail where the body of an event does not keep to the schema of its type, or a header is missing or doubled."""
    told = [(name, content.decode()) for name, content in headers]
    named = dict(told)
    assert len(named) == len(told), "a header came twice"
    assert named.keys() >= _HEADERS, _HEADERS - named.keys()
    names = named["fields_changed"]
    body = json.loads(value or b"")
    _VALIDATORS[named["event_type"]].validate(body)
    assert bool(names) <= bool(body["data"]["properties"]), "fields changed, and none is told"
