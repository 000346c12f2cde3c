"""Requests: who asks with what, what L1 answers, who joins whom."""

from collections.abc import Iterator

from tests.model.invariants import violated_by
from tests.model.rules import Rules
from tests.model.state import Channel, Entry, Fill, Move, Session, Stage, State, Step, Worker
from tests.model.world import World


def requests(state: State, world: World, rules: Rules, index: int) -> Iterator[Move]:
    """A worker that fills nothing is asked: L1 answers, or a fill begins."""
    worker = state.workers[index]
    for fill in _kinds(state, world, rules, _needed(state, worker)):
        entry = worker.l1
        if entry and not bypassed(worker, rules) and accepted(entry, fill, rules):
            yield answer(state, index, fill, entry, "L1")
        else:
            token = f" with token {fill.token}" if fill.token else ""
            yield Move(f"w{index + 1}: is asked{token}, L1 has nothing", state.with_fill(index, fill))
            if world.early:
                early = fill._replace(step=Step.CHOOSE_SOURCE, early=True)
                yield Move(f"w{index + 1}: is asked{token} for its parent", state.with_fill(index, early))


def joins(state: State, world: World, rules: Rules, index: int) -> Iterator[Move]:
    """A later request joins the fill under way, and needs what is known by now."""
    worker = state.workers[index]
    fill = worker.fill
    if fill is None or world.session or fill.token or fill.early:
        return
    needed = _needed(state, worker)
    # Rule 6: nobody joins what was overtaken, nor anything while the channel is down.
    late = rules.r6_no_join and (fill.overtaken or worker.channel == Channel.DOWN)
    if needed > fill.need and not late:
        label = f"w{index + 1}: a second request joins the fill"
        yield Move(label, state.with_fill(index, fill._replace(need=needed)))


def answer(state: State, index: int, fill: Fill, entry: Entry, where: str) -> Move:
    """The request is answered; a session remembers the newest value and token that it had."""
    answered = state.with_fill(index, None)
    if fill.session is not None:
        answered = answered._replace(
            session=max(state.session, Session(entry.value, entry.upper, entry.of_replica))
        )
    label = f"w{index + 1}: answers value {entry.value} from {where}"
    return Move(label, answered, violated_by(fill, entry.value))


def accepted(entry: Entry, fill: Fill, rules: Rules) -> bool:
    """Rule 8: a read with a token takes only what has reached it."""
    return entry.version >= fill.token or not rules.r8_entry_reaches_token


def bypassed(worker: Worker, rules: Rules) -> bool:
    """Rule 6: L1 is neither read nor filled while the channel is down."""
    return rules.r6_bypass and worker.channel == Channel.DOWN


def _kinds(state: State, world: World, rules: Rules, need: int) -> Iterator[Fill]:
    if world.session:
        # Rule 8: the session sends back the token of its last read.
        token = state.session.token if rules.r8_read_token else 0
        of_replica = state.session.of_replica and rules.r8_read_token
        yield Fill(need, token, of_replica, session=state.session)
        return
    yield Fill(need)
    if world.old_tokens and state.flushed:
        yield Fill(need, 1)
    if world.tokens:
        for index, commit in enumerate(state.commits):
            if commit.stage in (Stage.POSITION_READ, Stage.INVALIDATED):
                yield Fill(need, commit.position, promised=index + 1)


def _needed(state: State, worker: Worker) -> int:
    """The newest commit that Redis and this worker were told of."""
    return (state.told & worker.seen).bit_length()
