"""Breadth first through all interleavings of a world."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.cache import losses
from tests.model.cdc import repetitions
from tests.model.channel import notifications, outages
from tests.model.database import commits, replication
from tests.model.database import outages as primary_outages
from tests.model.fill import fills
from tests.model.invalidation import invalidations
from tests.model.invariants import violated_when_quiet
from tests.model.reader import joins, requests
from tests.model.rules import Rules
from tests.model.state import Move, State, canonical
from tests.model.worker import kills
from tests.model.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """The invariant, and a shortest way to violate it."""

    invariant: str
    trace: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The first violation and the number of states seen until then; without one, all that there are."""

    states: int
    violation: Violation | None


def explore(world: World, rules: Rules) -> Verdict:
    """Search until something goes wrong or nothing is left."""
    first = canonical(world.initial())
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])

    def found(invariant: str, state: State, last: str) -> Verdict:
        trace = [last]
        step = came_from[state]
        while step:
            state, label = step
            trace.append(label)
            step = came_from[state]
        violation = Violation(invariant=invariant, trace=tuple(reversed(trace)))
        return Verdict(states=len(came_from), violation=violation)

    while queue:
        state = queue.popleft()
        if invariant := violated_when_quiet(state, world, rules):
            return found(
                invariant, state, f"all is quiet, the primary has value {state.visible}, a cache does not"
            )
        for move in moves(state, world, rules):
            if move.violated:
                return found(move.violated, state, move.label)
            following = canonical(move.state)
            if following not in came_from:
                came_from[following] = (state, move.label)
                queue.append(following)
    return Verdict(states=len(came_from), violation=None)


def moves(state: State, world: World, rules: Rules) -> Iterator[Move]:
    """All that can happen next."""
    yield from commits(state, world, rules)
    yield from replication(state, rules)
    yield from primary_outages(state)
    yield from invalidations(state, world, rules)
    if world.cdc:
        yield from repetitions(state, rules)
    yield from losses(state)
    yield from notifications(state)
    yield from outages(state, rules)
    yield from kills(state)
    for index, worker in enumerate(state.workers):
        if worker.fill is None:
            yield from requests(state, world, rules, index)
        else:
            yield from joins(state, world, rules, index)
            yield from fills(state, rules, index)
