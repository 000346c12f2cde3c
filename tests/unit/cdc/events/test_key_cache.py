from collections import OrderedDict
from collections.abc import ItemsView, Iterator

from app.core.models import EntityKey
from cdc.events.key_cache import References
from tests.unit.cdc.fakes import FakeDirectory

A, B, C = (EntityKey("user", name) for name in "abc")


async def test_one_query_for_what_is_not_known_and_none_after_it() -> None:
    directory = FakeDirectory({1: A, 2: B})
    references = References(directory)
    assert await references.resolve([2, 1, 2], told={}) == {1: A, 2: B}
    assert await references.resolve([1, 2], told={}) == {1: A, 2: B}
    assert directory.asked == [[1, 2]]


async def test_what_the_stream_tells_is_not_asked_for_and_is_remembered() -> None:
    directory = FakeDirectory()
    references = References(directory)
    assert await references.resolve([3], told={3: C}) == {3: C}
    await references.remember({3: C})
    assert await references.resolve([3], told={}) == {3: C}
    assert directory.asked == []


async def test_that_one_is_gone_is_not_remembered() -> None:
    directory = FakeDirectory()
    references = References(directory)
    assert await references.resolve([1], told={}) == {}
    directory.keys[1] = A
    assert await references.resolve([1], told={}) == {1: A}


UNKNOWN = EntityKey("unknown", "a")


async def test_a_placeholder_of_the_directory_is_asked_for_each_time() -> None:
    directory = FakeDirectory({1: UNKNOWN})
    references = References(directory)
    assert await references.resolve([1], told={}, subjects={1}) == {1: UNKNOWN}
    directory.keys[1] = A
    assert await references.resolve([1], told={}, subjects={1}) == {1: A}


async def test_a_placeholder_of_the_stream_is_sure_for_a_subject_alone() -> None:
    directory = FakeDirectory({1: A})
    references = References(directory)
    await references.remember({1: UNKNOWN})
    assert await references.resolve([1], told={}, subjects={1}) == {1: UNKNOWN}
    assert directory.asked == []
    assert await references.resolve([1], told={}) == {1: A}, "who else may have been renamed elsewhere"


async def test_placeholders_are_forgotten_without_a_look_at_the_others() -> None:
    class Walked(OrderedDict[int, EntityKey]):
        walks = 0

        def __iter__(self) -> Iterator[int]:
            type(self).walks += 1
            return super().__iter__()

        def items(self) -> ItemsView[int, EntityKey]:
            type(self).walks += 1
            return super().items()

    references = References(FakeDirectory(), capacity=3)
    references._keys = Walked()
    await references.remember({1: UNKNOWN, 2: UNKNOWN, 3: B})
    await references.remember({2: A, 4: UNKNOWN})  # the first one leaves, the second one has a type now
    references.forget_placeholders()
    references.forget_placeholders()
    assert await references.resolve([1, 2, 3, 4], told={}, subjects={1, 2, 3, 4}) == {2: A, 3: B}
    assert Walked.walks == 0


async def test_a_placeholder_that_is_gone_keeps_its_name_until_another_reads_the_stream() -> None:
    references = References(FakeDirectory())
    await references.remember({1: UNKNOWN, 2: B})
    assert await references.resolve([1, 2], told={}) == {1: UNKNOWN, 2: B}
    references.forget_placeholders()
    assert await references.resolve([1, 2], told={}, subjects={1, 2}) == {2: B}


async def test_the_least_recently_used_leaves_first() -> None:
    directory = FakeDirectory({1: A, 2: B, 3: C})
    references = References(directory, capacity=2)
    for number in (1, 2, 1, 3):
        await references.resolve([number], told={})
    assert len(references) == 2
    directory.asked.clear()
    await references.resolve([1, 2, 3], told={})
    assert directory.asked == [[2]]


async def test_a_window_larger_than_the_memory_is_resolved_whole() -> None:
    told = {number: EntityKey("user", str(number)) for number in range(10)}
    references = References(FakeDirectory(), capacity=2)
    await references.remember(told)
    assert len(references) == 2
    assert await references.resolve(range(10), told=told) == told
