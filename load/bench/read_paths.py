"""The paths that a read can take, and requests that take each of them. Pure; the same for the same `rng` and `now`."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

_DAYS: Final = 183  # six months
_MAX_DEPTH: Final = 10
_L1_ROOTS: Final = 1_000
_L1_REQUESTS: Final = 200_000  # more than a run sends, so that none comes twice
_LITTLE_MEMORY: Final = {"PROFILE_MEMORY_CACHE_MB": "1"}

Draw = Callable[[Sequence[int], random.Random, datetime], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPath:
    """How a path is made sure of, and what is wanted of it: `floor`, of the requests/s of the bare handler.

    `with_redis`: the floor is one of a bare handler that gets each body from Redis with the package redis.
    """

    name: str
    summary: str
    draw: Draw
    environment: Mapping[str, str] = field(default_factory=dict)
    floor: float | None = None
    with_redis: bool = False
    is_repeated: bool = False  # all rounds send the same requests
    is_filled: bool = True  # every entity is asked for once, before the load


def one_tree(ids: Sequence[int], rng: random.Random, now: datetime) -> list[str]:
    """One request."""
    return [_request(rng.choice(ids), _MAX_DEPTH, now - timedelta(days=_DAYS))]


def some_trees(ids: Sequence[int], rng: random.Random, now: datetime) -> list[str]:
    """A thousand roots, a depth and a second of the last six months for each request."""
    roots = rng.sample(ids, min(_L1_ROOTS, len(ids)))
    return [_drawn(rng.choice(roots), rng, now) for _ in range(_L1_REQUESTS)]


def every_tree(ids: Sequence[int], rng: random.Random, now: datetime) -> list[str]:
    """Every root once, in random order."""
    return [_drawn(root, rng, now) for root in rng.sample(ids, len(ids))]


def _drawn(root: int, rng: random.Random, now: datetime) -> str:
    since = now - timedelta(seconds=rng.randrange(_DAYS * 86_400))
    return _request(root, rng.randint(1, _MAX_DEPTH), since)


def _request(root: int, depth: int, since: datetime) -> str:
    return f"/v1/graph/{root}?depth={depth}&period={since:%Y-%m-%dT%H:%M:%SZ}"


PATHS: Final = (
    ReadPath(
        name="hot",
        summary="one tree again and again: a whole answer, kept in the process",
        draw=one_tree,
        is_repeated=True,
        floor=0.85,
    ),
    ReadPath(
        name="assembled",
        summary="a thousand roots, each time another depth and period: put together from L1",
        draw=some_trees,
        floor=0.65,
    ),
    ReadPath(
        name="shared",
        summary="all users in turn with 1 MB of memory, so that hardly a fragment is found there again: from L2",
        draw=every_tree,
        environment=_LITTLE_MEMORY,
        floor=1 / 3,
        with_redis=True,
    ),
    ReadPath(
        name="shared-unwalked",
        summary="the same by a process that does not know what it walked before, and so asks twice",
        draw=every_tree,
        environment=_LITTLE_MEMORY | {"PROFILE_ANSWER_CACHE_MB": "1"},
        floor=1 / 3,
        with_redis=True,
    ),
    ReadPath(
        name="cold",
        summary="the same with entries of Redis that live for one second: leased, read from a replica and stored",
        draw=every_tree,
        environment=_LITTLE_MEMORY | {"PROFILE_CACHE_TTL_S": "1"},
        is_filled=False,
    ),
)
