"""A replica that becomes the primary while workers run: positions, keys and tokens are of another timeline."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from app.config.settings import Role, Settings
from app.core.consistency_token import Tokens
from app.core.errors import TransientError
from app.core.models import Batch
from app.core.signing import Signer
from app.ports.graph import Answer
from storage.postgres.timeline import WATCH_S
from storage.stores import Stores
from tests.e2e.own_stack import OwnStack
from tests.proxy import Proxy, proxied
from tests.rows import prop, user
from tests.stack import application_settings, create_database, with_primary

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(120)]

NOTICED_S = 3.0  # WATCH_S, a connection and a busy machine


@pytest.fixture
async def primary(own_stack: OwnStack) -> AsyncIterator[Proxy]:
    """The address of the primary, which a failover moves."""
    await asyncio.to_thread(own_stack.start, "postgres", "redis")
    async with proxied("127.0.0.1", own_stack.settings.postgres_ports[0]) as proxy:
        yield proxy
    await asyncio.to_thread(own_stack.reset, "postgres")


@pytest.fixture
async def at_that_address(own_stack: OwnStack, primary: Proxy, run_id: str) -> Settings:
    servers = own_stack.settings
    name = f"test_{run_id}"
    await create_database(servers, name)
    settings = application_settings(
        servers, database=name, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
    )
    port = f":{servers.postgres_ports[0]}/"
    there = with_primary(settings, lambda dsn: dsn.replace(port, f":{primary.port}/"))
    return there.model_copy(update={"roles": [Role.WEB]})


async def read(stores: Stores, token: int = 0) -> Answer:
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None, token=token)
    assert answer is not None
    return answer


def shows(answer: Answer, value: int) -> bool:
    return f'"value": {value}'.encode() in (answer.body or b"")


async def writes(stores: Stores, value: int) -> int:
    async with asyncio.timeout(20):
        while True:
            try:
                batch = Batch(properties=[prop("a", "f", str(value), value)])
                return (await stores.writer.write(batch)).position
            except TransientError:
                await asyncio.sleep(0.05)


async def until_hit(stores: Stores, value: int) -> None:
    async with asyncio.timeout(10):
        while (answer := await read(stores)).cache != "hit" or not shows(answer, value):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_workers_begin_anew_on_the_new_timeline(
    own_stack: OwnStack, at_that_address: Settings, primary: Proxy
) -> None:
    servers = own_stack.settings
    name = at_that_address.postgres_dsn.get_secret_value().rpartition("/")[2]
    async with AsyncExitStack() as opened:
        one, other = [await Stores.open(at_that_address) for _ in range(2)]
        for each in (one, other):
            opened.push_async_callback(each.close)
        await writes(one, 1)
        for each in (one, other):
            await until_hit(each, 1)
        before = one.database
        tokens = Tokens(lambda: other.database, Signer(await other.keys.signing_key()))
        old_token = tokens.spell(await writes(one, 2))
        await until_hit(other, 2)

        # The second replica goes on with the old primary, which gets what the new one never sees.
        old = await asyncpg.connect(servers.postgres_dsn(0, database=name))
        promoted = await asyncpg.connect(servers.postgres_dsn(1, database=name))
        for connection in (old, promoted):
            opened.push_async_callback(connection.close)
        assert await promoted.fetchval("SELECT pg_promote()")
        primary.move("127.0.0.1", servers.postgres_ports[1])
        lost = str(9 * 10**6)
        for _ in range(20):
            await old.execute(f'UPDATE entities SET properties = \'{{"f": {{"value": {lost}}}}}\'')

        position = await writes(one, 3)
        assert one.database != before
        assert shows(await read(one, position), 3)
        # The other one answers from its memory, and hears nothing on the old channels.
        began = time.monotonic()
        while not shows(await read(other), 3):
            assert time.monotonic() - began < NOTICED_S
            await asyncio.sleep(0.01)
        print(f"noticed within {time.monotonic() - began:.2f} s (looks each {WATCH_S} s)")  # noqa: T201
        assert other.database == one.database
        assert tokens.read(old_token) is None, "a token of the old timeline can't be compared"

        # Neither the promoted replica, which is one no more, nor the one that stayed with the old primary is asked.
        for value in range(4, 12):
            position = await writes((one, other)[value % 2], value)
            for each in (one, other):
                assert shows(await read(each, position), value)
                await each.cache.drop_all()
                each.invalidator._memory.forget()  # type: ignore[attr-defined]
                assert shows(await read(each), value)
        for each in (one, other):
            await until_hit(each, 11)

        # The old primary is refused, even where its address is that of the primary again.
        primary.move("127.0.0.1", servers.postgres_ports[0])
        assert await one.position() is None
        primary.move("127.0.0.1", servers.postgres_ports[1])
        await asyncio.to_thread(own_stack.stop, "postgres", signal.SIGQUIT)
        await writes(one, 12)
        async with asyncio.timeout(NOTICED_S):
            while not shows(await read(other), 12):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
