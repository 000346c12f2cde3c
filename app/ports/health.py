"""The state of dependencies."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyState:
    """One line of /readyz."""

    name: str
    ready: bool
    required: bool
    detail: str


class Probe(Protocol):
    """The true state of one or several dependencies, asked now and bounded in time."""

    async def check(self) -> list[DependencyState]: ...
