"""What an audit of the caches found. It names entries and never quotes a value: it may be somebody's data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from app.core.dates import to_text
from app.core.text import printable

Kind = Literal["fragment", "property", "reference", "tree"]
Level = Literal["redis", "memory"]
GRACE_S: Final = 1.0  # from a commit until every worker has heard of it, with much to spare


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An entry that does not say what the primary says.

    `subject` is an entity's id (of a tree its root's), a property's path, or the type of a reference. Positions are WAL
    positions: the one that the entry claims to have reached, and the one that the primary's content had reached.
    """

    kind: Kind
    level: Level
    subject: str
    cached_position: int
    primary_position: int
    read_at: datetime  # when the entry was read from PostgreSQL


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """How many entries of each kind were compared, and those that are stale; `repaired`: all of them were dropped."""

    checked: Mapping[Kind, int]
    mismatches: list[Mismatch]
    repaired: bool = False


def line_of(mismatch: Mismatch) -> str:
    """One line without a value; a path is what a stranger asked for."""
    return (
        f"{mismatch.kind} {printable(mismatch.subject)} in {mismatch.level}: cached at {mismatch.cached_position}, "
        f"read {to_text(mismatch.read_at)}; primary at {mismatch.primary_position}"
    )
