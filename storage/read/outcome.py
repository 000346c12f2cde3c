"""What one request, or one fill, has read, and where it came from."""

from dataclasses import dataclass, field

from app.core.consistency_token import latest
from app.ports.graph import CacheOutcome
from storage.cache.fragments import Fragment


@dataclass(slots=True, kw_only=True)
class ReadOutcome:
    """The worst of all parts: what `Cache-Status` says."""

    asked_postgres: bool = False
    bypassed: bool = False  # the cache could not be asked
    stored: bool = True
    verified: bool = True

    def add(self, other: "ReadOutcome") -> None:
        self.asked_postgres |= other.asked_postgres
        self.bypassed |= other.bypassed
        self.stored &= other.stored
        self.verified &= other.verified

    @property
    def outcome(self) -> CacheOutcome:
        if not self.asked_postgres:
            return "hit"
        return "bypass" if self.bypassed else "miss"


@dataclass(slots=True, kw_only=True)
class Reading(ReadOutcome):
    """The fragments of one request; those in `known` were asked for, whether or not they exist.

    It has one reading of each entity: what it has, or knows to be missing, stays as it is. Trees were walked by it, and
    what a deeper read brings of the same entity may lead elsewhere. `token`: what every part has to have reached
    (rule 8). `upper`, which is the token of the answer, and `read_at` are the answer's.
    """

    token: int = 0
    fragments: dict[int, Fragment] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    upper: int = 0
    read_at: float = float("inf")

    def knows(self, entity_id: int) -> bool:
        """Whether it has the entity, or knows that there is none."""
        return entity_id in self.fragments or entity_id in self.known

    def take(self, fragment: Fragment) -> None:
        """Add what was read of an entity, unless something is known of it."""
        if fragment.id not in self.known:
            self.fragments.setdefault(fragment.id, fragment)

    def note(self, upper: int, read_at: float) -> None:
        """A part of the answer has these."""
        self.upper = latest((self.upper, upper))
        self.read_at = min(self.read_at, read_at)
