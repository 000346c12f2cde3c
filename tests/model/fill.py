"""A fill: Redis, the position to reach (rule 4), a source that has reached it, and storing (rule 5)."""

from collections.abc import Iterator

from tests.model.database import shown_position, value_at
from tests.model.reader import accepted, answer, bypassed
from tests.model.rules import Rules
from tests.model.state import Entry, Fill, Key, Mark, Move, State, Step, fresh_lease


def fills(state: State, rules: Rules, index: int) -> Iterator[Move]:
    """The next step of the worker's fill."""
    fill = state.workers[index].fill
    if fill is None:
        return
    if fill.step in (Step.ASK_REDIS, Step.LEASE_READ):
        yield _ask_redis(state, rules, index, fill)
    elif fill.step == Step.ASK_PRIMARY and state.is_away:
        unknown = fill._replace(step=Step.CHOOSE_SOURCE, fence=0, mark_lease=0, is_bound=False)
        label = f"w{index + 1}: no mark is known, and the primary does not answer"
        yield Move(label, state.with_fill(index, unknown))
    elif fill.step == Step.ASK_PRIMARY:
        after = Step.SET_MARK if fill.mark_lease else Step.CHOOSE_SOURCE
        asked = fill._replace(step=after, fence=state.flushed)
        label = f"w{index + 1}: no mark is known, the primary is at {state.flushed}"
        yield Move(label, state.with_fill(index, asked))
    elif fill.step == Step.SET_MARK:
        yield _set_mark(state, rules, index, fill)
    elif fill.step == Step.CHOOSE_SOURCE:
        yield from _choose_source(state, rules, index, fill)
    elif fill.step == Step.READ_DATA and fill.replica is None and state.is_away:
        again = fill._replace(step=Step.CHOOSE_SOURCE, version=0)
        yield Move(f"w{index + 1}: the primary does not answer", state.with_fill(index, again))
    elif fill.step == Step.READ_DATA:
        yield _read_data(state, rules, index, fill)
    elif fill.step == Step.CHECK_READ:
        yield _check_read(state, rules, index, fill)
    else:
        yield _store(state, rules, index, fill)


def _ask_redis(state: State, rules: Rules, index: int, fill: Fill) -> Move:
    key = state.key
    if key.entry and accepted(key.entry, fill, rules):
        return answer(_in_process(state, rules, index, fill, key.entry), index, fill, key.entry, "Redis")
    planted = ""
    if key.entry is None and not key.lease:  # rule 4: a miss plants a lease
        state = state._replace(key=key._replace(lease=fresh_lease(state)))
        planted = ", plants a lease"
    fill = fill._replace(lease=state.key.lease)
    if key.entry is not None:  # too old for the token: nothing can be stored, and no mark is told
        if fill.early and fill.replica is None:
            return answer(state, index, fill, _entry(state, rules, fill), "the early read of the primary")
        fill = fill._replace(step=Step.ASK_PRIMARY, early=False)
    else:
        state, fill = _bound(state, rules, fill)
    fence = "" if fill.step == Step.ASK_PRIMARY else f", position to reach {fill.fence}"
    return Move(f"w{index + 1}: Redis has nothing{planted}{fence}", state.with_fill(index, fill))


def _bound(state: State, rules: Rules, fill: Fill) -> tuple[State, Fill]:
    """Rules 2 and 4: the group's mark is the position to reach; a missing mark is leased."""
    following = Step.CHECK_READ if fill.early else Step.CHOOSE_SOURCE
    if not rules.r2_group_mark:
        return state, fill._replace(step=following, fence=0)
    mark = state.mark
    if mark is None:
        mark = Mark(0, fresh_lease(state) if rules.r4_mark_from_primary else 0)
        state = state._replace(mark=mark)
    if not mark.lease:
        return state, fill._replace(step=following, fence=mark.position)
    return state, fill._replace(step=Step.ASK_PRIMARY, mark_lease=mark.lease)


def _check_read(state: State, rules: Rules, index: int, fill: Fill) -> Move:
    """Rule 5: an early read that has not reached the mark is made again, under the lease that there is now."""
    fill = fill._replace(early=False)
    if _entry(state, rules, fill).version >= fill.fence or not rules.r5_early_read_reaches_mark:
        label = f"w{index + 1}: its early read at {fill.version} will do"
        return Move(label, state.with_fill(index, fill._replace(step=Step.STORE)))
    again = fill._replace(step=Step.CHOOSE_SOURCE, replica=None, version=0, value=0, upper=0)
    return Move(f"w{index + 1}: its early read at {fill.version} is too old", state.with_fill(index, again))


def _set_mark(state: State, rules: Rules, index: int, fill: Fill) -> Move:
    """Rule 4: over one's own lease only, together with the positions that arrived meanwhile."""
    mark = state.mark
    own = mark is not None and mark.lease in (0, fill.mark_lease)
    following = Step.CHECK_READ if fill.early else Step.CHOOSE_SOURCE
    state = state.with_fill(index, fill._replace(step=following, mark_lease=0))
    if not own and rules.r4_own_mark_lease:
        return Move(f"w{index + 1}: its lease of the group's mark is gone", state)
    collected = mark.position if mark and rules.r4_collected_fences else 0
    position = max(collected, fill.fence)
    return Move(f"w{index + 1}: sets the group's mark to {position}", state._replace(mark=Mark(position)))


def _choose_source(state: State, rules: Rules, index: int, fill: Fill) -> Iterator[Move]:
    """Rule 5: a replica that has reached mark and token, else the primary.

    What an early read has to reach is the mark of its parent's group, which says nothing of its own.
    """
    least = max(fill.fence if rules.r5_reach_fence else 0, fill.token if rules.r5_reach_token else 0)
    reached = False
    if not fill.is_bound:
        yield from _unverified(state, rules, index, fill)
        return
    for number, position in enumerate(state.replicas):
        if position >= least:
            reached = True
            chosen = fill._replace(step=Step.READ_DATA, replica=number, version=position)
            yield Move(f"w{index + 1}: replica {number + 1} is at {position}", state.with_fill(index, chosen))
    if not reached and state.is_away:
        yield from _unverified(state, rules, index, fill)
    elif not reached or fill.early:
        # Rule 1: a commit can be flushed, and shown by replicas, and not be visible yet.
        shown = shown_position(state)
        if fill.token_of_replica and shown < fill.token and rules.r8_primary_shows_token:
            return
        version = shown if rules.r1_primary_claims_visible else state.flushed
        chosen = fill._replace(step=Step.READ_DATA, replica=None, version=version)
        label = f"w{index + 1}: chooses the primary, which is at {state.flushed}"
        yield Move(label, state.with_fill(index, chosen))


def _unverified(state: State, rules: Rules, index: int, fill: Fill) -> Iterator[Move]:
    """While the primary is away: a replica that has reached the token, of which nobody knows whether it is enough."""
    able = [number for number, position in enumerate(state.replicas) if position >= fill.token]
    for number in able:
        position = state.replicas[number]
        is_verified = bool(fill.token) and not fill.is_bound and not rules.r5_token_is_no_fence
        chosen = fill._replace(step=Step.READ_DATA, replica=number, version=position, is_verified=is_verified)
        label = f"w{index + 1}: replica {number + 1} at {position} may be behind"
        yield Move(label, state.with_fill(index, chosen))
    if not able:
        yield Move(f"w{index + 1}: nobody has reached the token, which is said", state.with_fill(index, None))


def _read_data(state: State, rules: Rules, index: int, fill: Fill) -> Move:
    """The snapshot, and the position after it (rule 8)."""
    if fill.replica is None:
        value, upper, source = state.visible, state.flushed, "the primary"
    else:
        upper = state.replicas[fill.replica]
        value, source = value_at(state, upper), f"replica {fill.replica + 1}"
    if not rules.r8_token_after_data:
        upper = fill.version
    following = Step.LEASE_READ if fill.early else Step.STORE
    read = fill._replace(step=following, value=value, upper=upper)
    return Move(f"w{index + 1}: reads value {value} on {source}", state.with_fill(index, read))


def _store(state: State, rules: Rules, index: int, fill: Fill) -> Move:
    """Rule 5: over one's own lease only; what could not be stored is answered all the same."""
    key = state.key
    entry = _entry(state, rules, fill)
    if not fill.is_verified and rules.r5_unverified_not_stored:
        return answer(state, index, fill, entry, "the fill, which is not verified")
    state = _in_process(state, rules, index, fill, entry)
    own = fill.lease != 0 and key.lease == fill.lease and key.entry is None
    if not own and rules.r5_own_lease:
        return answer(state, index, fill, entry, "the fill, which is not stored in Redis")
    return answer(state._replace(key=Key(entry)), index, fill, entry, "the fill and stores it")


def _entry(state: State, rules: Rules, fill: Fill) -> Entry:
    version = fill.version
    if fill.replica is not None and not rules.r1_replica_position_before_data:
        version = state.replicas[fill.replica]
    return Entry(version, fill.value, fill.upper, fill.replica is not None)


def _in_process(state: State, rules: Rules, index: int, fill: Fill, entry: Entry) -> State:
    """Rule 6: what was overtaken is not kept in L1, nor anything while the channel is down."""
    worker = state.workers[index]
    if bypassed(worker, rules) or (fill.overtaken and rules.r6_overtaken_not_stored):
        return state
    return state.with_worker(index, worker._replace(l1=entry))
