"""Change data capture: replication slots and the connector."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """A logical replication slot, beside the primary's flush position. Positions and sizes are bytes."""

    active: bool
    wal_status: str  # reserved, extended, unreserved, lost
    flushed: int  # the primary's position
    confirmed: int | None
    lag_bytes: int  # flushed less confirmed: what was not yet published, or not yet told so
    retained_bytes: int | None  # what the slot keeps on disk; None where it is lost
    safe_bytes: int | None  # what may be written before the slot is lost; None where there is no limit

    @property
    def lost(self) -> bool:
        return self.wal_status == "lost"


class ReplicationSlots(Protocol):
    """Logical slots of the primary. Each call raises TransientError or FatalError."""

    async def state(self, name: str) -> SlotState | None:
        """Its state now, or None where there is no such slot."""
        ...

    async def create(self, name: str) -> int:
        """Make one; every commit after the position that is returned will be read from it."""
        ...

    async def drop(self, name: str) -> bool:
        """Remove one that nobody uses; false where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task of a connector; `cause` is one line, empty unless it failed."""

    number: int
    state: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorState:
    """A connector, in Connect's words: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED, RESTARTING."""

    state: str
    tasks: tuple[TaskState, ...]
    cause: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """Of the connector and its tasks."""
        return (self.state, *(task.state for task in self.tasks))

    @property
    def running(self) -> bool:
        return bool(self.tasks) and set(self.states) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        return "FAILED" in self.states

    @property
    def summary(self) -> str:
        tasks = ", ".join(f"task {task.number} {task.state}" for task in self.tasks) or "no task"
        return f"{self.state}, {tasks}"

    def __post_init__(self) -> None:
        if not self.cause:
            found = next((task.cause for task in self.tasks if task.cause), "")
            object.__setattr__(self, "cause", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorPosition:
    """What a connector has published and remembers durably: the position of the last row, that of the last commit, and
    its time.

    Rows come in the order of commits, so the last row of a transaction that was open for long lies before a commit
    that was published earlier.
    """

    lsn: int
    committed_us: int | None
    commit_lsn: int | None = None  # None where no commit was seen yet

    @property
    def reached(self) -> int:
        """What the connector may have confirmed to its slot: the last commit, before the first one the last row."""
        return max(self.lsn, self.commit_lsn or 0)


class ConnectorAdmin(Protocol):
    """What is asked of Kafka Connect. Each call raises TransientError, or FatalError where Connect refuses."""

    async def state(self, name: str) -> ConnectorState | None:
        """None where there is no such connector."""
        ...

    async def config(self, name: str) -> dict[str, str] | None:
        """Its configuration, without masking; None where there is no such connector."""
        ...

    async def position(self, name: str) -> ConnectorPosition | None:
        """None where it has published nothing yet."""
        ...

    async def restart(self, name: str, *, only_failed: bool = True) -> None:
        """Start its tasks again, by default only those that failed."""
        ...
