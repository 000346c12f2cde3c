"""What is asked of the caches, and of the primary on their behalf."""

from collections.abc import Sequence
from typing import Protocol

from app.core.audit import AuditReport
from app.core.models import Changes


class Invalidator(Protocol):
    """Drops from the caches what a commit changed."""

    @property
    def behind(self) -> bool:
        """Whether a cache node has not taken yet what was submitted."""
        ...

    async def submit(self, changes: Changes) -> None:
        """Try once, now; what a node does not take is tried again in the background. Idempotent. Never raises."""
        ...


class Auditor(Protocol):
    """Compares what is cached with the primary."""

    async def audit(self, *, sample: int, grace_s: float, repair: bool = False) -> AuditReport:
        """Compare up to `sample` entries, by chance, of each level of the cache.

        Stale is an entry that is still there `grace_s` after the primary was seen to say something else. `repair`
        drops what is stale from all levels of all workers. Raises TransientError where the primary or the cache does
        not answer.
        """
        ...


class CommitLog(Protocol):
    """What CDC asks of the primary, since a commit can be decoded before it is visible there."""

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        """Wait until these transactions (32-bit ids, as Debezium's source.txId) are visible on the primary.

        Returns the primary's WAL flush position read after that. Raises TransientError on time-out.
        """
        ...
