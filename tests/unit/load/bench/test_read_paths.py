"""The requests of each path."""

import random
import re
from datetime import UTC, datetime

import pytest

from load.bench.read_paths import PATHS, every_tree, one_tree, some_trees

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
IDS = range(1, 5_001)
REQUEST = re.compile(r"/v1/graph/(\d+)\?depth=(\d+)&period=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\Z")


def parts(urls: list[str]) -> list[tuple[int, int, str]]:
    found = [REQUEST.match(url) for url in urls]
    assert all(found)
    return [(int(match[1]), int(match[2]), match[3]) for match in found if match]


def test_a_hot_tree_is_one_request() -> None:
    ((root, depth, _),) = parts(one_tree(IDS, random.Random(1), NOW))
    assert root in IDS
    assert depth == 10


def test_assembled_trees_have_few_roots_and_hardly_ever_the_same_request() -> None:
    urls = some_trees(IDS, random.Random(1), NOW)
    assert len(set(urls)) > 0.999 * len(urls)
    drawn = parts(urls)
    assert len({root for root, _, _ in drawn}) == 1_000
    assert {depth for _, depth, _ in drawn} == set(range(1, 11))
    seconds = [period for _, _, period in drawn]
    assert "2025-12-30T12:00:01Z" <= min(seconds) < "2026-01-02"
    assert "2026-06-30" < max(seconds) <= "2026-07-01T12:00:00Z"


def test_every_tree_has_each_root_once_and_not_in_order() -> None:
    roots = [root for root, _, _ in parts(every_tree(IDS, random.Random(1), NOW))]
    assert sorted(roots) == list(IDS)
    assert roots != sorted(roots)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_same_seed_draws_the_same(path) -> None:  # type: ignore[no-untyped-def]
    first, second, other = (path.draw(IDS, random.Random(seed), NOW) for seed in (1, 1, 2))
    assert first == second != other
