"""Plans of the statements that the service really runs, those within functions too, by PostgreSQL's auto_explain.

Sessions are told to send the plan of each statement to the client, with times and buffers. So parameters, settings and
the way of execution are those of the service, which an EXPLAIN typed by hand would have to imitate.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import orjson

_SETTINGS: Final = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "client_min_messages": "log",
}
_PLAN: Final = re.compile(r"duration: (?P<ms>[\d.]+) ms\s+plan:\s*(?P<plan>\{.*\})\s*\Z", re.DOTALL)
_TABLES: Final = re.compile(r"entities|edges|temporal_properties|merged_entities|erasures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One statement: its text, milliseconds, pages that were touched, and the tables that were read whole."""

    text: str
    ms: float
    pages: int
    whole: list[str]


async def _explain(connection: Any) -> None:
    # A pool resets the session when a connection comes back. Only a superuser may.
    await connection.execute("LOAD 'auto_explain'")
    for name, value in _SETTINGS.items():
        await connection.execute("SELECT set_config($1, $2, false)", name, value)


@dataclass(slots=True)
class PlanLog:
    """What the connections of some pools have explained since `clear`."""

    plans: list[Plan] = field(default_factory=list)

    def heard(self, _: Any, message: asyncpg.PostgresLogMessage) -> None:
        """A listener of a connection."""
        found = _PLAN.search(str(message))
        if found is not None:
            told = orjson.loads(found["plan"])
            self.plans.append(
                Plan(
                    text=" ".join(told["Query Text"].split()),
                    ms=float(found["ms"]),
                    pages=_pages(told["Plan"]),
                    whole=sorted(set(_whole(told["Plan"]))),
                )
            )

    def clear(self) -> None:
        self.plans.clear()


class ExplainedPool:
    """A pool whose connections, while they are lent, tell a log what they run."""

    def __init__(self, pool: asyncpg.Pool, log: PlanLog) -> None:
        self._pool = pool
        self._log = log

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - as asyncpg has it
        """Lend a connection."""
        async with self._pool.acquire(timeout=timeout) as connection:
            await _explain(connection)
            connection.add_log_listener(self._log.heard)
            try:
                yield connection
            finally:
                connection.remove_log_listener(self._log.heard)


def _pages(node: dict[str, Any]) -> int:
    return int(node.get("Shared Hit Blocks", 0)) + int(node.get("Shared Read Blocks", 0))


def _whole(node: dict[str, Any]) -> Iterator[str]:
    """Tables that a plan read from end to end, and more than a page of them."""
    name = node.get("Relation Name", "")
    if node["Node Type"] == "Seq Scan" and _TABLES.match(name) and _pages(node) > 1:
        yield name
    for below in node.get("Plans", ()):
        yield from _whole(below)
