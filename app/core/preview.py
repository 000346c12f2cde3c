"""What a batch would change, found without writing it."""

from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, TypeVar

from app.core.errors import InvalidError
from app.core.models import EdgeRow, EntityKey, PropertyRow, RemovedEdge, TemporalRow

# `same` and `older` both leave what is stored: it says the same, or it wins. Of what is removed, `same` says that it
# does not stand.
Outcome = Literal["created", "changed", "removed", "same", "older"]

R = TypeVar("R", bound=NamedTuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored now."""

    value: str | None  # JSON text; None: a property that is removed
    reference_date: str  # as app.core.dates.to_text
    version: int | None = None  # of temporal points alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Generic[R]):
    """One thing of a batch and what would come of it.

    Of several rows about the same thing, `row` is the one that wins among them. `old` is what it would replace, or,
    where nothing changes, what stays; None where nothing is stored, and for a relationship without metadata.
    """

    row: R
    outcome: Outcome
    old: Stored | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The differences that a batch would make, each list sorted by key.

    `entities` holds those that the batch lists, and those that other rows name where they would be created. `refused`
    are those that would exceed a limit of one entity: the rest is judged without them and their properties, though the
    write would refuse the batch.
    """

    entities: list[Difference[EntityKey]] = field(default_factory=list)
    properties: list[Difference[PropertyRow]] = field(default_factory=list)
    edges: list[Difference[EdgeRow]] = field(default_factory=list)
    temporal: list[Difference[TemporalRow]] = field(default_factory=list)
    removed_edges: list[Difference[RemovedEdge]] = field(default_factory=list)
    refused: list[tuple[EntityKey, InvalidError]] = field(default_factory=list)
