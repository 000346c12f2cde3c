"""The state of dependencies."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyState:
    """One line of /readyz. `process` is the one that tells it, where a worker has several."""

    name: str
    ready: bool
    required: bool
    detail: str
    process: str | None = None


class Probe(Protocol):
    """The true state of one or several dependencies, asked now and bounded in time."""

    async def check(self) -> list[DependencyState]: ...
