"""Which processes a worker consists of (PROFILE_PROCESSES), and each one's part of what the worker may use.

Each process has an event loop and an interpreter lock to itself. Limits of the settings are those of the whole worker:
processes of one kind get equal parts of them, and connections to the primary are divided by need. A part is never
smaller than the least that works, so a worker with many processes and small limits exceeds them by that.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final, TypeVar

from app.config.settings import Role, Settings
from app.core.errors import FatalError

Name = TypeVar("Name")


class Kind(StrEnum):
    """What processes are divided by. The agents that write share one, with its pool and what its writer remembers."""

    WEB = "web"
    INGEST = "ingest"
    CDC = "cdc"


_WRITES: Final = "PROFILE_POSTGRES_WRITE_POOL_SIZE"
_READS: Final = "PROFILE_POSTGRES_PRIMARY_POOL_SIZE"
_LEAST: Final = {(Kind.CDC, _READS): 2}  # it asks for names while it publishes; of all others 1
_KINDS: Final = dict.fromkeys(Role, Kind.INGEST) | {Role.WEB: Kind.WEB, Role.CDC: Kind.CDC}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of a worker; `settings` are the variables that differ from the worker's, by name."""

    name: str
    kind: Kind
    among: int  # of how many of its kind it is one
    settings: Mapping[str, str]


def processes_of(settings: Settings) -> list[Process]:
    """The processes to start; empty where this process does all itself. Raises FatalError."""
    roles = {kind: [role for role in settings.roles if _KINDS[role] is kind] for kind in Kind}
    present = [kind for kind in Kind if roles[kind]]
    counts = _counts(settings.processes, present)
    if counts is None or sum(counts.values()) <= 1:
        return []
    group = settings.group_id
    connections = _connections(settings, roles)
    first_writer = Kind.INGEST if Kind.INGEST in present else present[0]
    found = []
    for kind in present:
        among = counts[kind]
        for number in range(1, among + 1):
            variables = {
                "PROFILE_PROCESSES": "1",
                "PROFILE_ROLES": ",".join(roles[kind]),
                "PROFILE_CONSUMER_GROUP": group,
                **{
                    limit: str(max(_LEAST.get((kind, limit), 1), size // among))
                    for limit, size in connections[kind].items()
                },
            }
            if settings.postgres_read_dsn is not None:
                # What only operators and Debezium need is in the memory of no process that answers strangers.
                own = settings.read_dsn.get_secret_value()
                variables |= {
                    "PROFILE_POSTGRES_DSN": own,
                    "PROFILE_CONNECT_POSTGRES_DSN": own,
                    "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
                }
            if kind is Kind.WEB:
                variables |= _limits_of_web(settings, among)
            if (kind, number) != (first_writer, 1):
                variables["PROFILE_PLACEHOLDER_INTERVAL_S"] = "0"  # one of them merges
            name = kind if among == 1 else f"{kind}-{number}"
            found.append(Process(name=name, kind=kind, among=among, settings=variables))
    return found


def _counts(wanted: str, present: Sequence[Kind]) -> Mapping[Kind, int] | None:
    """How many of each kind; None: this process does it all. Raises FatalError."""
    if wanted == "1":
        return None
    counts = Counter(present)
    if wanted == "auto":
        return counts
    named: set[Kind] = set()
    for part in wanted.split(","):
        name, _, count = part.partition("=")
        kind = Kind(name)
        if kind not in present:
            raise FatalError(f"PROFILE_PROCESSES names {name}, of which PROFILE_ROLES has no role.")
        if kind in named:
            raise FatalError(f"PROFILE_PROCESSES names {name} twice.")
        named.add(kind)
        counts[kind] = int(count)
    return counts


def _connections(settings: Settings, roles: Mapping[Kind, Sequence[Role]]) -> dict[Kind, dict[str, int]]:
    """Limits of pools by kind: of the primary's connections by need, which are as many as in one process.

    Reads ask the primary for what no replica has, by two pools of one size: trees, and all else; each agent writes some
    windows at once; cdc holds a connection while
    it publishes, one while it waits for commits, and asks for names and for the slot meanwhile.
    """
    total = 3 * settings.postgres_pool_size
    needs = {
        (Kind.WEB, _WRITES): settings.web_flushes_in_flight + 1,
        (Kind.WEB, _READS): 2 * 5,
        (Kind.INGEST, _WRITES): len(roles[Kind.INGEST]) * settings.flushes_in_flight,
        (Kind.INGEST, _READS): 1,
        (Kind.CDC, _READS): 4,
    }
    parts = apportion(total, {need: weight for need, weight in needs.items() if roles[need[0]]})
    found: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
    for (kind, name), part in parts.items():
        size = part // 2 if (kind, name) == (Kind.WEB, _READS) else part
        found[kind][name] = max(1, min(size, settings.postgres_pool_size))
    found[Kind.CDC][_WRITES] = 1  # opened where no other process is there to merge placeholders
    for kind in Kind:  # to each replica, which nothing but the web asks
        found[kind]["PROFILE_POSTGRES_POOL_SIZE"] = settings.postgres_pool_size if kind is Kind.WEB else 1
    return found


def apportion(total: int, weights: Mapping[Name, int]) -> dict[Name, int]:
    """Divide `total` by weights into whole numbers, by the largest remainder."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    parts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: parts[name] - exact[name])[: total - sum(parts.values())]:
        parts[name] += 1
    return parts


def _limits_of_web(settings: Settings, among: int) -> dict[str, str]:
    """Equal parts; rates of API keys are divided where they are counted, since a key may have one of its own."""
    if among == 1:
        return {}
    divided = {
        "PROFILE_MEMORY_CACHE_MB": settings.memory_cache_mb,
        "PROFILE_ANSWER_CACHE_MB": settings.answer_cache_mb,
        "PROFILE_WEB_EVENT_BUFFER_MB": settings.web_event_buffer_mb,
        "PROFILE_WEB_MAX_IN_FLIGHT": settings.web_max_in_flight,
        "PROFILE_WEB_MAX_EXPORTS": settings.web_max_exports,
        "PROFILE_WEB_EVENT_STREAMS": settings.web_event_streams,
        "PROFILE_WEB_MAX_CONNECTIONS": settings.web_max_connections,
        "PROFILE_WEB_HELD_MB": settings.web_held_mb,
    }
    return {
        "PROFILE_WEB_REUSE_PORT": "true",
        **{name: str(max(1, limit // among)) for name, limit in divided.items()},
    }


def publisher_groups(settings: Settings) -> frozenset[str]:
    """Those of all sets of roles that have cdc: whichever of them runs publishes domain events, and nobody else."""
    others = [role for role in Role if role is not Role.CDC]
    sets = (rest for size in range(len(others) + 1) for rest in combinations(others, size))
    by_roles = settings.model_copy(update={"consumer_group": None})
    groups = (by_roles.model_copy(update={"roles": [Role.CDC, *rest]}).group_id for rest in sets)
    return frozenset(groups).union(filter(None, [settings.consumer_group]))
