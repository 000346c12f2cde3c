"""A commit and the caches: what committed is dropped from them, whatever becomes of the caller.

1. The caller opens a commit and, within it, its transaction.
2. The last statement of the transaction's body is `begins`: from there on the transaction may commit.
3. The caller notes the position that it reads after COMMIT returned.
4. When the commit closes, by its end, an error or a cancellation, a task of its own tells the caches. Where no position
   was noted, it is not known whether the transaction committed, and the position is 0.

A transaction that failed before `begins` was rolled back, and the caches hear nothing of it.
"""

from collections.abc import Awaitable, Callable

from app.core.models import Changes

ChangesAt = Callable[[int], Awaitable[Changes]]


class Commit:
    """One transaction, for the caches. `changes` are known once the commit is closed.

    `changes_at` gives what the transaction changed, by the position of its commit; None: nothing can have committed.
    """

    __slots__ = ("changes", "changes_at", "position")

    def __init__(self) -> None:
        self.changes_at: ChangesAt | None = None
        self.position = 0
        self.changes: Changes | None = None

    def begins(self, changes_at: ChangesAt) -> None:
        """The transaction may commit from now on."""
        self.changes_at = changes_at

    def reached(self, position: int) -> None:
        """It has committed, at or before this WAL position of the primary."""
        self.position = position
