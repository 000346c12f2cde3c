"""How workers hear of commits, and what they do when they may not have heard (rule 6)."""

from collections.abc import Iterator

from tests.model.rules import Rules
from tests.model.state import Channel, Move, State, Worker


def notifications(state: State) -> Iterator[Move]:
    """Messages arrive in any order; each empties L1 and overtakes the fill under way."""
    for index, worker in enumerate(state.workers):
        for commit in range(len(state.commits)):
            message = 1 << commit
            if worker.inbox & message:
                told = worker._replace(inbox=worker.inbox ^ message, seen=worker.seen | message)
                label = f"w{index + 1}: hears of c{commit + 1}, empties L1"
                yield Move(label, state.with_worker(index, overtaken(told._replace(l1=None))))


def outages(state: State, rules: Rules) -> Iterator[Move]:
    """The channel is lost; the gap is noticed; the channel is back."""
    for index, worker in enumerate(state.workers):
        name = f"w{index + 1}"
        if worker.channel == Channel.UP and state.faults.cuts:
            cut = state._replace(faults=state.faults._replace(cuts=state.faults.cuts - 1))
            lost = worker._replace(channel=Channel.LOST, inbox=0)
            yield Move(f"{name}: loses the channel unawares", cut.with_worker(index, lost))
        elif worker.channel == Channel.LOST and rules.r6_gap_is_loss:
            yield Move(
                f"{name}: notices the loss", state.with_worker(index, _noticed(worker, state.told, rules))
            )
        elif worker.channel != Channel.UP:
            back = worker._replace(channel=Channel.UP)
            if rules.r6_channel_overtakes:
                back = overtaken(back)
            yield Move(f"{name}: has the channel back", state.with_worker(index, back))


def _noticed(worker: Worker, told: int, rules: Rules) -> Worker:
    """From here on the worker answers for all that was told (rule 6: L1 is emptied and bypassed)."""
    down = worker._replace(channel=Channel.DOWN, seen=worker.seen | told)
    if rules.r6_bypass:
        down = down._replace(l1=None)
    return overtaken(down) if rules.r6_channel_overtakes else down


def overtaken(worker: Worker) -> Worker:
    """Its fill, if there is one, is not stored in the process and not joined."""
    return worker._replace(fill=worker.fill and worker.fill._replace(overtaken=True))
