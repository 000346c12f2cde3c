"""What Redis forgets by itself."""

from collections.abc import Iterator

from tests.model.state import Key, Move, State


def losses(state: State) -> Iterator[Move]:
    """Eviction takes the whole hash and leaves the mark, which has no TTL (rule 2); a restart takes both."""
    if not state.faults.losses or state.key == Key():
        return
    lost = state._replace(key=Key(), faults=state.faults._replace(losses=state.faults.losses - 1))
    yield Move("Redis evicts the key", lost)
    yield Move("Redis restarts empty", lost._replace(mark=None))
