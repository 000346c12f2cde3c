"""What is held by the hundred thousand is nothing that the garbage collector walks through."""

import gc

from storage.cache import fragments
from storage.cache.fragments import Fragment
from tests.unit.storage.read.test_tree import fragment, points


def tracked(found: Fragment) -> list[object]:
    """What the collector has to look at of a fragment, after it has looked once."""
    parts: list[object] = [found, found.edges, *found.edges, found.temporal, found.below, *found.below]
    parts += found.temporal
    for _ in range(3):  # the contents of a tuple are let go of before the tuple
        gc.collect()
    return [part for part in parts if gc.is_tracked(part)]


def test_a_fragment_is_no_concern_of_the_garbage_collector() -> None:
    rows = points(*[("k", "day", day, str(day)) for day in (1, 5, 9)])
    made = fragments.with_hint(fragment(1, [2, 3], **rows), {2: fragment(2, [4]), 3: fragment(3, [])})
    read = fragments.decode(fragments.encode(made))
    assert read == made
    assert read is not None
    assert read.below == ((4,),)
    assert (tracked(made), tracked(read)) == ([], [])
