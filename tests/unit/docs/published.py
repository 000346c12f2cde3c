"""The documents that consumers read, and the events that the code makes of captured envelopes."""

import json
from pathlib import Path
from typing import Final

from app.core.models import EntityKey
from app.core.records import OutgoingEvent
from cdc.envelope import Skipped, decode
from cdc.events.events import events_of
from tests.unit.cdc import golden
from tests.unit.cdc.envelopes import captured

ROOT: Final = Path(__file__).parents[3]
DOCS: Final = ROOT / "docs"
SCHEMAS: Final = ROOT / "cdc" / "schemas"

_KEYS: Final = {2: EntityKey("user", "user_aqNSvRZ_74"), 3: EntityKey("organization", "org-13")}
_SAMPLES: Final = (
    "entity-created",
    "entity-date-alone",
    "entity-deleted",
    "edge-created",
    "edge-metadata",
    "edge-removed",
    "temporal-created",
    "temporal-updated",
    "temporal-deleted",
)


def examples() -> dict[str, OutgoingEvent]:
    """The event that the documents show of each type, as it is published."""
    events: dict[str, OutgoingEvent] = {}
    for sample in _SAMPLES:
        change = decode(captured(sample))
        assert not isinstance(change, Skipped)
        ((kind, event),) = events_of(change, _KEYS)
        events[kind] = event
    events["entity_erased"] = _erased()
    return events


def _erased() -> OutgoingEvent:
    """Of the captured erasure; one change gives two events."""
    found = {}
    for change in golden.load()["erasure"].changes:
        decoded = decode(json.dumps(change["value"]).encode())
        assert not isinstance(decoded, Skipped)
        found |= dict(events_of(decoded, _KEYS))
    return found["entity_erased"]
