from app.models import EntityKey
from cdc.references import References
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
    assert await references.resolve([3], told={}) == {3: C}
    assert directory.asked == []


async def test_that_one_is_gone_is_not_remembered() -> None:
    directory = FakeDirectory()
    references = References(directory)
    assert await references.resolve([1], told={}) == {}
    directory.keys[1] = A
    assert await references.resolve([1], told={}) == {1: A}


async def test_a_placeholder_is_asked_for_each_time_and_the_primary_knows_better() -> None:
    directory = FakeDirectory({1: EntityKey("unknown", "a")})
    references = References(directory)
    await references.resolve([1], told={})
    directory.keys[1] = A
    assert await references.resolve([1], told={1: EntityKey("unknown", "a")}) == {1: A}
    del directory.keys[1]
    assert await references.resolve([2], told={2: EntityKey("unknown", "b")}) == {2: ("unknown", "b")}


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
    assert await References(FakeDirectory(), capacity=2).resolve(range(10), told=told) == told
