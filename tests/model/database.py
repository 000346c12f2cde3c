"""The primary, its writers up to the position of their write, and the replicas."""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.state import Commit, Move, Stage, State, Step, Worker, put
from tests.model.world import World


def value_at(state: State, position: int) -> int:
    """What a replica at this position shows."""
    return sum(state.wal[:position])


def commit_record(state: State, index: int) -> int:
    """The position at which the record of a flushed commit starts; its row's record ends there."""
    return [position for position, is_commit in enumerate(state.wal) if is_commit][index]


def shown_position(state: State) -> int:
    """Up to where the primary shows every commit: before the first that is flushed and not visible yet."""
    return commit_record(state, state.visible) if state.visible < sum(state.wal) else state.flushed


def commits(state: State, world: World, rules: Rules) -> Iterator[Move]:
    """A commit is flushed first, becomes visible later, in that order, and then its writer reads the position."""
    for index, commit in enumerate(state.commits):
        if state.is_away:
            return
        name = f"c{index + 1}"
        before = state.commits[index - 1].stage if index else Stage.VISIBLE
        awaited = Stage.FLUSHED if world.concurrent else Stage.VISIBLE
        if commit.stage == Stage.OPEN and before >= awaited:
            flushed = state._replace(wal=(*state.wal, False, True))
            yield Move(f"{name}: flushed", flushed.with_commit(index, Commit(Stage.FLUSHED)))
        elif commit.stage == Stage.FLUSHED and before >= Stage.VISIBLE:
            visible = state._replace(visible=index + 1)
            stage = commit._replace(stage=Stage.VISIBLE)
            yield Move(f"{name}: visible on the primary", visible.with_commit(index, stage))
        elif commit.stage == Stage.VISIBLE:
            # Rule 1: the flush position after the commit returned.
            after = rules.r1_write_position_after_commit
            position = state.flushed if after else commit_record(state, index)
            read = commit._replace(stage=Stage.POSITION_READ, position=position)
            yield Move(f"writer of {name}: reads position {position}", state.with_commit(index, read))
        if commit.stage in (Stage.VISIBLE, Stage.POSITION_READ) and state.faults.crashes:
            faults = state.faults._replace(crashes=state.faults.crashes - 1)
            crashed = Commit(Stage.CRASHED, repeated=commit.repeated)
            label = f"writer of {name}: crashes before it invalidates"
            yield Move(label, state._replace(faults=faults).with_commit(index, crashed))


def outages(state: State) -> Iterator[Move]:
    """The primary stops answering, and answers again."""
    if state.is_away:
        yield Move("the primary is back", state._replace(is_away=False))
    elif state.faults.outages:
        faults = state.faults._replace(outages=state.faults.outages - 1)
        yield Move("the primary is away", state._replace(is_away=True, faults=faults))


def replication(state: State, rules: Rules) -> Iterator[Move]:
    """Replicas replay one record at a time, or crash; records of others move all positions."""
    if state.faults.records:
        faults = state.faults._replace(records=state.faults.records - 1)
        yield Move("a record of another transaction", state._replace(wal=(*state.wal, False), faults=faults))
    for index, position in enumerate(state.replicas):
        if position < state.flushed:
            replayed = state._replace(replicas=put(state.replicas, index, position + 1))
            yield Move(f"replica {index + 1}: replays to {position + 1}", replayed)
        if state.faults.rewinds:
            for older in range(position):
                label = f"replica {index + 1}: crashes and comes back at {older}"
                yield Move(label, _rewound(state, rules, index, older))


def _rewound(state: State, rules: Rules, replica: int, older: int) -> State:
    """Rule 1: a fill that has asked the replica for its position starts over."""
    workers = state.workers
    if rules.r1_replica_position_forgotten:
        workers = tuple(_forgotten(worker, replica) for worker in workers)
    return state._replace(
        replicas=put(state.replicas, replica, older),
        workers=workers,
        faults=state.faults._replace(rewinds=state.faults.rewinds - 1),
    )


def _forgotten(worker: Worker, replica: int) -> Worker:
    fill = worker.fill
    if fill is None or fill.step != Step.READ_DATA or fill.replica != replica:
        return worker
    return worker._replace(fill=fill._replace(step=Step.CHOOSE_SOURCE, replica=None, version=0))
