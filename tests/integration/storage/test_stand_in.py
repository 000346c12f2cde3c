"""One contract for PostgreSQL and what stands in for it in simulations: positions, visibility, who waits for whom."""

from collections.abc import AsyncIterator

import pytest

from app.config.settings import Settings
from storage.postgres.visibility import Visibility
from storage.read import graph_queries
from storage.read.budget import Budget
from tests.integration.storage import test_freshness
from tests.integration.storage.stand_in import (
    Postgres,
    Servers,
    StandIn,
    asked,
    moment_of,
    position_of,
    shown,
    until,
)
from tests.integration.storage.test_freshness import Replicas

pytestmark = pytest.mark.integration

replicas = test_freshness.replicas


@pytest.fixture(params=["stand-in", "postgres"])
async def servers(
    request: pytest.FixtureRequest, settings: Settings, replicas: Replicas
) -> AsyncIterator[Servers]:
    if request.param == "stand-in":
        async with StandIn.opened() as made:
            yield made
        return
    async with Postgres.opened(settings, replicas) as real:
        yield real


async def replica_shows(servers: Servers, value: int, entity: int = 1) -> None:
    async def shows() -> bool:
        return await shown(servers.replica, [entity]) == (value,)

    await until(shows)


async def test_a_position_that_was_read_after_a_commit_is_behind_it(servers: Servers) -> None:
    before = await position_of(servers.primary)
    first = await (await servers.begin(1)).release()
    second = await (await servers.begin(1)).release()
    assert before < first < second <= await position_of(servers.primary)
    assert await shown(servers.primary) == (2,)


async def test_a_replica_shows_what_it_has_reached_and_nothing_else(servers: Servers) -> None:
    await servers.pause()
    at = await (await servers.begin(1)).release()
    assert await position_of(servers.replica) < at
    assert await shown(servers.replica, least=at) is None
    assert await shown(servers.replica) == (0,)
    await servers.resume()
    await replica_shows(servers, 1)

    async def has_reached() -> bool:
        return await shown(servers.replica, least=at) == (1,)

    await until(has_reached)


async def test_a_commit_is_flushed_and_on_replicas_before_the_primary_shows_it(servers: Servers) -> None:
    visibility = Visibility()
    before = await moment_of(servers.primary)
    assert visibility.reached(before) == before.position, "nothing runs"
    change = await servers.begin(1)
    assert await position_of(servers.primary) == before.position, "what is not committed moves nothing here"
    await change.flush()
    await replica_shows(servers, 1)
    flushed = await moment_of(servers.primary)
    assert flushed.position > before.position
    assert flushed.oldest < flushed.newest
    assert flushed.oldest >= before.newest
    assert await shown(servers.primary) == (0,)
    assert not change.is_done
    assert before.position <= visibility.reached(flushed) < flushed.position
    at = await change.release()
    assert await shown(servers.primary) == (1,)
    after = await moment_of(servers.primary)
    assert after.oldest == after.newest
    assert visibility.reached(after) == after.position >= at


async def test_a_later_commit_is_shown_before_an_earlier_one(servers: Servers) -> None:
    """So a position of the primary says nothing of what its snapshot holds, and running transactions do."""
    visibility = Visibility()
    start = await moment_of(servers.primary)
    visibility.reached(start)
    first = await servers.begin(1)
    await first.flush()
    held = await position_of(servers.primary)
    at = await (await servers.begin(2)).release()
    assert at > held
    assert await shown(servers.primary, [1, 2]) == (0, 1)
    assert start.position <= visibility.reached(await moment_of(servers.primary)) < held
    await first.release()
    assert await shown(servers.primary, [1, 2]) == (1, 1)


async def test_transactions_commit_in_another_order_than_they_begin_in(servers: Servers) -> None:
    early, late = await servers.begin(1), await servers.begin(2)
    both = await moment_of(servers.primary)
    assert both.newest >= both.oldest + 2
    first = await late.release()
    one = await moment_of(servers.primary)
    assert one.oldest == both.oldest, "the one that began first runs"
    assert await shown(servers.primary, [1, 2]) == (0, 1)
    assert await early.release() > first
    none = await moment_of(servers.primary)
    assert none.oldest == none.newest > one.oldest


async def test_a_transaction_is_shown_as_a_whole(servers: Servers) -> None:
    change = await servers.begin(1, 2, 3)
    assert await shown(servers.primary, [1, 2, 3]) == (0, 0, 0)
    await change.flush()
    assert await shown(servers.primary, [1, 2, 3]) == (0, 0, 0)
    await replica_shows(servers, 1)
    assert await shown(servers.replica, [1, 2, 3]) == (1, 1, 1)
    await change.release()
    assert await shown(servers.primary, [1, 2, 3]) == (1, 1, 1)


async def test_who_changes_the_same_entity_waits_until_the_first_one_is_shown(servers: Servers) -> None:
    first = await servers.begin(1, 2)
    second = await servers.queue(2, 3)
    await first.flush()
    assert not second.is_done
    before = await position_of(servers.primary)
    await first.release()
    assert await second.release() > before
    assert await shown(servers.primary, [1, 2, 3]) == (1, 2, 1)


async def test_who_is_cancelled_before_commit_has_changed_nothing(servers: Servers) -> None:
    change = await servers.begin(1)
    running = await moment_of(servers.primary)
    assert running.oldest < running.newest
    await change.cancel()

    async def has_ended() -> bool:
        now = await moment_of(servers.primary)
        return bool(now.oldest == now.newest)

    await until(has_ended)
    assert await position_of(servers.primary) >= running.position
    again = await servers.begin(1)  # its locks are free
    await again.release()
    assert await shown(servers.primary) == (1,)


@pytest.mark.parametrize("end", ["cancel", "lose"])
async def test_who_ends_after_commit_was_sent_has_committed(servers: Servers, end: str) -> None:
    change = await servers.begin(1)
    await change.flush()
    await (change.cancel() if end == "cancel" else change.lose())

    async def is_shown() -> bool:
        return await shown(servers.primary) == (1,)

    await until(is_shown)
    await replica_shows(servers, 1)
    await (await servers.begin(1)).release()
    assert await shown(servers.primary) == (2,)


async def test_a_read_tells_positions_and_transactions_around_its_snapshot(servers: Servers) -> None:
    at = await (await servers.begin(1)).release()
    running = await servers.begin(2)
    ask = graph_queries.graph([1, 99], levels=0, budget=Budget(nodes=100))
    found = await asked(servers.primary, ask)
    assert found is not None
    assert found.moment is not None
    assert [row["id"] for row in found.result.rows] == [1], "what does not exist has no row"
    assert at <= found.before == found.moment.position <= found.after
    assert found.moment.oldest < found.moment.newest
    await running.release()
    later = await asked(servers.primary, ask)
    assert later is not None
    assert later.moment is not None
    assert later.moment.oldest == later.moment.newest
    assert later.before > found.before
    assert await asked(servers.primary, ask, 0) is not None
    assert await asked(servers.replica, ask, 1 << 60) is None


async def test_ids_are_those_that_the_snapshot_shows_in_order(servers: Servers) -> None:
    def ask(value: int, after: int = 0, limit: int = 10) -> graph_queries.Ask[list[int]]:
        return graph_queries.ids_with("f", str(value), after=after, limit=limit)

    change = await servers.begin(1, 3)
    for value, ids in ((0, [1, 2, 3, 4]), (1, [])):
        found = await asked(servers.primary, ask(value))
        assert found is not None
        assert found.result == ids
    await change.release()
    for question, ids in ((ask(0), [2, 4]), (ask(1), [1, 3]), (ask(1, 1), [3]), (ask(0, 0, 1), [2])):
        found = await asked(servers.primary, question)
        assert found is not None
        assert found.result == ids
        assert found.moment is not None
        assert found.before == found.moment.position <= found.after
