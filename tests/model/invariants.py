"""What must never happen."""

from typing import Final

from tests.model.rules import Rules
from tests.model.state import Channel, Fill, Stage, State
from tests.model.world import World

INVARIANTS: Final = {
    "I1": "a verified answer is not older than what the worker was told before the request",
    "I2": "a session never goes back",
    "I3": "a read with a write's token sees that write",
    "I4": "when all is quiet, no cache holds anything old",
    "I5": "that is so too after a writer crashed between its commit and its invalidation",
}


def violated_by(fill: Fill, value: int) -> str | None:
    """The invariant that an answer violates."""
    if value < fill.need and fill.is_verified:
        return "I1"
    if value < fill.promised:
        return "I3"
    if fill.session and value < fill.session.value:
        return "I2"
    return None


def violated_when_quiet(state: State, world: World, rules: Rules) -> str | None:
    """The invariant that a state violates in which nothing more would happen by itself."""
    caches = (state.key.entry, *(worker.l1 for worker in state.workers))
    if not any(entry and entry.value != state.visible for entry in caches) or not _quiet(state, world, rules):
        return None
    return "I5" if any(commit.stage == Stage.CRASHED for commit in state.commits) else "I4"


def _quiet(state: State, world: World, rules: Rules) -> bool:
    repeats = world.cdc and rules.r7_repeat
    return (
        not state.is_away
        and all(position == state.flushed for position in state.replicas)
        and not any(w.inbox or w.fill or w.channel != Channel.UP for w in state.workers)
        and all(
            commit.stage == Stage.OPEN
            or (commit.stage in (Stage.INVALIDATED, Stage.CRASHED) and (commit.repeated or not repeats))
            for commit in state.commits
        )
    )
