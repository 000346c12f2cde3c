"""What a commit does to Redis and to the workers (rule 3)."""

from collections.abc import Iterator

from tests.model.channel import overtaken
from tests.model.rules import Rules
from tests.model.state import Channel, Key, Mark, Move, Stage, State, Worker
from tests.model.world import World


def invalidations(state: State, world: World, rules: Rules) -> Iterator[Move]:
    """The writer invalidates with the position of its write."""
    for index, commit in enumerate(state.commits):
        if commit.stage != Stage.POSITION_READ:
            continue
        name = f"writer of c{index + 1}"
        if commit.is_told:
            own = state.workers[0]._replace(seen=state.workers[0].seen | 1 << index)
            if rules.r3_own_memory_last:
                own = overtaken(own._replace(l1=None))
            done = state.with_worker(0, own)
            label = f"{name}: empties its own L1 and is done"
            yield Move(
                label, done.with_commit(index, commit._replace(stage=Stage.INVALIDATED, is_told=False))
            )
            continue
        done = invalidated(state, index, commit.position, rules)
        label = f"{name}: invalidates at {commit.position} and publishes"
        if not world.own:
            yield Move(label, done.with_commit(index, commit._replace(stage=Stage.INVALIDATED)))
            continue
        # That it empties its memory before as well makes old answers rarer, and is not needed.
        done = done.with_worker(0, state.workers[0])
        yield Move(label, done.with_commit(index, commit._replace(is_told=True)))


def invalidated(state: State, index: int, position: int, rules: Rules) -> State:
    """Mark, key and channel after commit `index` was told of at this position."""
    key = _key(state.key, rules)
    state = state._replace(mark=_mark(state.mark, position, rules), key=key, told=state.told | 1 << index)
    if not rules.r3_publish:
        return state
    return state._replace(workers=tuple(_told(worker, 1 << index) for worker in state.workers))


def _mark(mark: Mark | None, position: int, rules: Rules) -> Mark | None:
    """Rule 3: a missing mark stays missing, and a leased one incomplete. Rule 2: it never falls."""
    if not rules.r3_raise_mark:
        return mark
    if mark is None:
        return None if rules.r3_missing_mark_stays else Mark(position)
    highest = max(mark.position, position) if rules.r2_mark_is_highest else position
    return Mark(highest, mark.lease if rules.r3_leased_mark_stays else 0)


def _key(key: Key, rules: Rules) -> Key:
    """Rule 3: entry and lease go; nothing is created."""
    return Key(
        entry=None if rules.r3_drop_entry else key.entry,
        lease=0 if rules.r3_replace_lease else key.lease,
    )


def _told(worker: Worker, message: int) -> Worker:
    if worker.channel == Channel.UP:
        return worker._replace(inbox=worker.inbox | message)
    if worker.channel == Channel.DOWN:  # nothing in the process that could be old
        return worker._replace(seen=worker.seen | message)
    return worker  # the message is lost
