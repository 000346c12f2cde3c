"""The small worlds that are searched: who takes part, and how often each fault may strike."""

from dataclasses import dataclass
from typing import Final

from tests.model.state import Commit, Faults, Key, Session, State, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    name: str
    commits: int = 1
    replicas: int = 1
    workers: int = 1
    records: int = 0
    losses: int = 0
    cuts: int = 0
    crashes: int = 0
    kills: int = 0
    rewinds: int = 0
    outages: int = 0
    own: bool = False  # the first worker is the process of all writers
    cdc: bool = False
    tokens: bool = False  # clients read with the token of a write
    old_tokens: bool = False  # and with one of before all writes
    session: bool = False  # one client reads again and again
    concurrent: bool = False  # a commit may be flushed while others before it are not visible yet
    early: bool = False  # fills may read before they have a lease

    def initial(self) -> State:
        return State(
            wal=(),
            visible=0,
            replicas=(0,) * self.replicas,
            commits=(Commit(),) * self.commits,
            key=Key(),
            mark=None,
            workers=(Worker(),) * self.workers,
            told=0,
            faults=Faults(
                records=self.records,
                losses=self.losses,
                cuts=self.cuts,
                crashes=self.crashes,
                kills=self.kills,
                rewinds=self.rewinds,
                outages=self.outages,
            ),
            session=Session(),
        )


WORLDS: Final = (
    World(name="the channel is cut", cuts=1),
    World(name="a replica comes back at an older position", rewinds=1),
    World(name="a read before its lease, Redis loses", losses=1, early=True),
    World(name="a read before its lease, with a write's token", tokens=True, early=True),
    World(name="a session over two replicas", replicas=2, session=True),
    World(name="a session, positions move", records=1, session=True),
    World(name="a session, commits are flushed together", commits=2, concurrent=True, session=True),
    World(name="a writer crashes, Redis loses, CDC repeats", losses=1, crashes=1, cdc=True),
    World(name="a writer crashes, CDC repeats, positions move", records=1, crashes=1, cdc=True),
    World(name="reads with a write's token, positions move", records=1, tokens=True),
    World(name="the writer's own process reads, Redis loses", own=True, losses=1),
    World(name="the primary is away", outages=1),
    World(name="the primary is away, reads with tokens", outages=1, tokens=True, old_tokens=True),
    World(name="a worker is killed in its fill", commits=2, kills=1),
    World(name="a lagging replica, Redis loses twice", commits=2, losses=2),
    World(name="reads with the tokens of two writes", commits=2, tokens=True),
    World(name="a session over two workers", workers=2, session=True),
)
