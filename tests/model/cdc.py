"""The repeater: every invalidation once more, from the WAL (rule 7)."""

from collections.abc import Iterator

from tests.model.database import commit_record
from tests.model.invalidation import invalidated
from tests.model.rules import Rules
from tests.model.state import Move, Stage, State


def repetitions(state: State, rules: Rules) -> Iterator[Move]:
    """A commit can be decoded as soon as it is flushed, which is before it is visible."""
    if not rules.r7_repeat or state.is_away:
        return
    for index, commit in enumerate(state.commits):
        decoded = commit.stage >= Stage.FLUSHED and not commit.repeated
        if decoded and (state.visible > index or not rules.r7_wait_until_visible):
            position = state.flushed if rules.r7_flush_position else commit_record(state, index) - 1
            repeated = invalidated(state, index, position, rules)
            label = f"CDC: repeats c{index + 1} at {position}"
            yield Move(label, repeated.with_commit(index, commit._replace(repeated=True)))
