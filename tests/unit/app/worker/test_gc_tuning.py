"""A worker that is ready looks for garbage less often, and never at what it started with."""

import gc
from collections.abc import Iterator

import pytest

from app.worker import gc_tuning


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.set_threshold(700, 10, 10)  # Python's own: a test before may have started a worker
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_lives_when_a_worker_is_ready_is_not_looked_at_again() -> None:
    before, kept = gc.get_threshold(), [{}]
    gc_tuning.settle()
    assert gc.get_freeze_count() > len(kept)
    assert not any(found is kept for found in gc.get_objects())
    assert gc.get_threshold() > before


def test_cycles_are_still_found() -> None:
    gc_tuning.settle()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1
