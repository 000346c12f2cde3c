"""What the ingestion benchmark sends: three workloads for each topic. Pure; the same for the same name.

`new`: nothing is there yet. `changed`: the same records, a tenth of them with a newer statement. `replay`: the
records of `changed` once more, byte for byte.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, Literal

import orjson

from app.config.settings import Role
from app.core import dates
from load.generate import messages
from load.generate.sending import Message
from load.generate.world import World, month_start

Workload = Literal["new", "changed", "replay"]
WORKLOADS: Final[tuple[Workload, ...]] = ("new", "changed", "replay")
_CHANGED_ONE_IN: Final = 10


def records(role: Role, workload: Workload, count: int, name: str) -> list[Message]:
    """Records of one topic about entities that no other `name` has, in the order of a shuffled world."""
    rng = random.Random(name)
    told = list(islice(_world(role, count, name), count))
    rng.shuffle(told)
    if workload == "new":
        return told
    change = _CHANGES[role]
    return [
        _changed(message, change, number) if number % _CHANGED_ONE_IN == 0 else message
        for number, message in enumerate(told)
    ]


def _world(role: Role, count: int, name: str) -> Iterator[Message]:
    # The smallest world with enough of this topic's messages, so that entities and their relationships all occur.
    per_user = {Role.ENTITIES_EDGES: 3, Role.ENTITY_PROPERTIES: 9}.get(role, 16)
    data = World(
        seed=zlib.crc32(name.encode()),
        users=count // per_user + 10,
        months=12,
        until=month_start(datetime.now(UTC)),
    )
    match role:
        case Role.ENTITIES_EDGES:
            return messages.entities_edges(data)
        case Role.ENTITY_PROPERTIES:
            return messages.entity_properties(data, conflict_rate=0.1)
        case _:
            return messages.temporal_data(data)


def _changed(message: Message, change: Callable[[dict[str, Any], int], None], number: int) -> Message:
    body = orjson.loads(message.value)
    change(body, number)
    return message._replace(value=orjson.dumps(body))


def _one_more_edge(body: dict[str, Any], number: int) -> None:
    body["edges"].append(
        {
            "entity_reference": f"branch-{number % 1_000}",
            "entity_type": "organization",
            "relation_type": "visits",
        }
    )


def _newer_value(body: dict[str, Any], number: int) -> None:
    date = dates.parse(body["reference_date"], field="reference_date") + timedelta(hours=12)
    body["reference_date"] = dates.to_text(date)
    body["field_value"] = {"corrected": number}


def _higher_version(body: dict[str, Any], number: int) -> None:
    body["property_version"] = 1
    body["property_value"] = {"corrected": number}


_CHANGES: Final[dict[Role, Callable[[dict[str, Any], int], None]]] = {
    Role.ENTITIES_EDGES: _one_more_edge,
    Role.ENTITY_PROPERTIES: _newer_value,
    Role.TEMPORAL_DATA: _higher_version,
}
