"""A worker that is killed and starts again."""

from collections.abc import Iterator

from tests.model.state import Move, State, Worker


def kills(state: State) -> Iterator[Move]:
    """It leaves its leases behind and knows nothing, so it answers for all that was told before it started."""
    if not state.faults.kills:
        return
    fewer = state._replace(faults=state.faults._replace(kills=state.faults.kills - 1))
    for index in range(len(state.workers)):
        label = f"w{index + 1}: is killed and starts again"
        yield Move(label, fewer.with_worker(index, Worker(seen=state.told)))
