"""What a world looks like between two events. All of it is tuples, so that states can be put into a set.

Positions count WAL records. A value is the number of commits that a reader saw. A lease is a number that is unique
among those still remembered, 0 for none.
"""

from enum import IntEnum
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Stage(IntEnum):
    """How far a writer is with its commit."""

    OPEN = 0
    FLUSHED = 1  # decoded by CDC and replayed on replicas from here on
    VISIBLE = 2  # on the primary
    POSITION_READ = 3
    INVALIDATED = 4
    CRASHED = 5  # after the commit, before the invalidation


class Commit(NamedTuple):
    stage: Stage = Stage.OPEN
    position: int = 0  # of its invalidation, and the token that the client was given
    repeated: bool = False  # by CDC
    is_told: bool = (
        False  # Redis and the others know; the writer's own process is to empty its memory once more
    )


class Entry(NamedTuple):
    version: int  # position of the read (rule 1)
    value: int
    upper: int  # position after it (rule 8)
    of_replica: bool = False  # who showed it: the primary may show less than a replica at the same position


class Key(NamedTuple):
    """One hash in Redis (rule 2): an entry, or a lease."""

    entry: Entry | None = None
    lease: int = 0


class Mark(NamedTuple):
    """A group's high-water mark (rule 2); incomplete while it is leased."""

    position: int
    lease: int = 0


class Step(IntEnum):
    """What a fill does next."""

    ASK_REDIS = 0
    ASK_PRIMARY = 1
    SET_MARK = 2
    CHOOSE_SOURCE = 3
    READ_DATA = 4
    STORE = 5
    LEASE_READ = 6  # of an early read
    CHECK_READ = 7


class Session(NamedTuple):
    """The newest answer that a client had."""

    value: int = 0
    token: int = 0
    of_replica: bool = False


class Fill(NamedTuple):
    """A request that found nothing in the process, and those that joined it."""

    need: int  # the value that must be answered at least (invariant I1)
    token: int = 0
    token_of_replica: bool = False
    promised: int = 0  # the value that stands for the token of a write (I3)
    session: Session | None = None  # as it was when the request began (I2)
    step: Step = Step.ASK_REDIS
    overtaken: bool = False
    early: bool = False  # the data is read before there is a lease
    fence: int = 0  # the position to reach
    lease: int = 0
    mark_lease: int = 0
    replica: int | None = None  # None: the primary
    version: int = 0
    value: int = 0
    upper: int = 0
    is_bound: bool = True  # the position to reach is known
    is_verified: bool = True


class Channel(IntEnum):
    UP = 0
    LOST = 1  # messages are lost, and the worker does not know yet
    DOWN = 2  # it knows


class Worker(NamedTuple):
    l1: Entry | None = None
    channel: Channel = Channel.UP
    inbox: int = 0  # bit set of commits whose message is under way
    seen: int = 0  # bit set of commits that it was told of
    fill: Fill | None = None


class Faults(NamedTuple):
    """How often each may still happen."""

    records: int  # unrelated WAL records, which move positions
    losses: int  # Redis evicts the key, or restarts empty
    cuts: int  # of the channel
    crashes: int  # of a writer
    kills: int  # of a worker
    rewinds: int  # a replica crashes and comes back at an older position
    outages: int  # of the primary


class State(NamedTuple):
    wal: tuple[bool, ...]  # records on the primary's disk; True is the record of a commit
    visible: int  # commits visible on the primary
    replicas: tuple[int, ...]  # replay positions
    commits: tuple[Commit, ...]
    key: Key
    mark: Mark | None
    workers: tuple[Worker, ...]
    told: int  # bit set of commits that Redis and the channel were told of
    faults: Faults
    session: Session
    is_away: bool = False  # the primary does not answer

    @property
    def flushed(self) -> int:
        """The primary's flush position."""
        return len(self.wal)

    def with_commit(self, index: int, commit: Commit) -> "State":
        return self._replace(commits=put(self.commits, index, commit))

    def with_worker(self, index: int, worker: Worker) -> "State":
        return self._replace(workers=put(self.workers, index, worker))

    def with_fill(self, index: int, fill: Fill | None) -> "State":
        return self.with_worker(index, self.workers[index]._replace(fill=fill))


class Move(NamedTuple):
    """One event: what it is called, where it leads, and the invariant that it violates."""

    label: str
    state: State
    violated: str | None = None


def put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


def _leases(state: State) -> set[int]:
    fills = [worker.fill for worker in state.workers if worker.fill]
    used = {state.key.lease, *(fill.lease for fill in fills), *(fill.mark_lease for fill in fills)}
    if state.mark:
        used.add(state.mark.lease)
    return used


def fresh_lease(state: State) -> int:
    return max(_leases(state)) + 1


def canonical(state: State) -> State:
    """The same state with leases numbered from 1, so that there are finitely many."""
    used = sorted(_leases(state) - {0})
    if not used or used[-1] == len(used):
        return state
    new = {0: 0} | {lease: number for number, lease in enumerate(used, 1)}
    workers = tuple(
        w._replace(fill=w.fill._replace(lease=new[w.fill.lease], mark_lease=new[w.fill.mark_lease]))
        if w.fill
        else w
        for w in state.workers
    )
    return state._replace(
        key=state.key._replace(lease=new[state.key.lease]),
        mark=state.mark and state.mark._replace(lease=new[state.mark.lease]),
        workers=workers,
    )
