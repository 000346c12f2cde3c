"""One key does not take all event streams, or all exports."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from app.config.settings import Settings
from app.core.api_keys import Scope
from app.core.errors import BusyError
from app.core.export import Entity as EntityLine
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import World
from tests.unit.web.routes.test_events import following
from web.application import build
from web.http.quotas import Shares


def test_a_share_is_half_and_one_at_least() -> None:
    for most, each in [(1, 1), (2, 1), (3, 1), (4, 2), (100, 50)]:
        shares = Shares(most, "things", "SETTING")
        taken = [shares.one("a") for _ in range(each + 1)]
        for one in taken[:-1]:
            one.__enter__()
        with pytest.raises(BusyError, match=f"{each} things .* SETTING"):
            taken[-1].__enter__()
        with shares.one("b"):
            pass
        taken[0].__exit__(None, None, None)
        with shares.one("a"):
            pass


def test_without_keys_there_are_no_shares() -> None:
    shares = Shares(1, "things", "SETTING")
    with shares.one(None), shares.one(None), pytest.raises(BusyError), shares.one("a"), shares.one("a"):
        pass


async def made(aiohttp_client: Any, world: World) -> tuple[Any, list[dict[str, str]]]:
    keys = FakeKeys()
    texts = [keys.make(Scope.READ) for _ in range(2)]
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    settings = Settings(_env_file=None, auth="required", web_max_exports=2, web_event_streams=2)
    client = await aiohttp_client(build(world.services(), settings))
    return client, [{"Authorization": f"Bearer {text}"} for text in texts]


async def test_streams(aiohttp_client: Any, world: World) -> None:
    client, (one, other) = await made(aiohttp_client, world)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(following(client, "/v1/events", headers=one))
        for path in ("/v1/events", "/v1/graph/7/watch"):
            refused = await client.get(path, headers=one)
            problem = await refused.json(content_type=None)
            assert (refused.status, problem["type"]) == (503, "/problems/unavailable")
            assert "PROFILE_WEB_EVENT_STREAMS" in problem["detail"]
            assert refused.headers["Retry-After"] == "1"
        await stack.enter_async_context(following(client, "/v1/graph/7/watch", headers=other))


async def test_exports(aiohttp_client: Any, world: World) -> None:
    client, (one, other) = await made(aiohttp_client, world)
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def lines() -> Any:
        begun.set()
        await goes_on.wait()
        for line in ():
            yield line

    world.exporter._lines = lines  # type: ignore[method-assign]
    first = asyncio.create_task(client.get("/v1/graph/7/export", headers=one))
    await begun.wait()
    refused = await client.get("/v1/graph/7/export", headers=one)
    assert refused.status == 503
    assert "PROFILE_WEB_MAX_EXPORTS" in (await refused.json(content_type=None))["detail"]
    goes_on.set()
    assert (await client.get("/v1/graph/7/export", headers=other)).status == 200
    assert (await (await first).text()).startswith('{"kind":"end"')
    assert (await client.get("/v1/graph/7/export", headers=one)).status == 200


async def test_what_lasts_ends_with_its_key(
    aiohttp_client: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.events.sse._LOOK_S", 0.01)
    keys = FakeKeys()
    text = keys.make(Scope.READ)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    client = await aiohttp_client(build(world.services(), Settings(_env_file=None, auth="required")))
    key = {"Authorization": f"Bearer {text}"}
    revoked = asyncio.Event()

    async def lines() -> Any:
        await revoked.wait()
        yield EntityLine(id=7, type="user", reference="u-7", created_at="", updated_at="", exported_at="")

    world.exporter._lines = lines  # type: ignore[method-assign]
    export = await client.get("/v1/graph/7/export", headers=key)
    async with (
        following(client, "/v1/events", headers=key) as events,
        following(client, "/v1/graph/7/watch", headers=key) as watch,
    ):
        await keys.revoke(text.split("_")[1])
        await world.keys.read()
        revoked.set()
        for stream in (events, watch):
            async with asyncio.timeout(5):
                told = b"".join([chunk async for chunk in stream.response.content])
            assert b"the API key was revoked" in told
    with pytest.raises(ClientPayloadError):
        await export.read()
