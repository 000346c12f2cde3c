"""Who did what: a line for each request of a key, and lines of the audit log that hang together."""

import logging
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.api_keys import Scope
from app.observability.audit_chain import Chain, link
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import World
from web.application import build
from web.server.fast_path import Express
from web.services import GATE


async def made(aiohttp_client: Any, world: World, *scopes: Scope) -> tuple[Any, str]:
    keys = FakeKeys()
    text = keys.make(*scopes)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    return await aiohttp_client(build(world.services(), Settings(_env_file=None, auth="required"))), text


async def test_each_request_of_a_key_has_a_line(
    aiohttp_client: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, text = await made(aiohttp_client, world, Scope.READ)
    caplog.set_level("INFO", "web.keys")
    world.reader.body = b'"%b"' % (b"x" * 200_000)
    asked = {"Authorization": f"Bearer {text}", "X-Request-Id": "mine", "Accept-Encoding": "identity"}
    assert (await client.get("/v1/graph/7", headers=asked)).status == 200
    (line,) = [vars(record) for record in caplog.records if record.name == "web.keys"]
    key_id = text.split("_")[1]
    assert (line["key_id"], line["route"], line["status"], line["cost"]) == (key_id, "/v1/graph/{id}", 200, 4)
    assert (line["request_id"], len(line["own_id"])) == ("mine", 32)
    assert text not in caplog.text


async def test_of_reads_from_memory_some_have_one(world: World, caplog: pytest.LogCaptureFixture) -> None:
    keys = FakeKeys()
    text = keys.make(Scope.READ)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    world.reader.in_memory = True
    caplog.set_level("INFO", "web.keys")
    services = world.services()
    application = build(services, Settings(_env_file=None, auth="required"))
    express = Express(services, application[GATE], of_which_one=10)
    for _ in range(25):
        assert express.answer_again("/v1/graph/7", {"Authorization": f"Bearer {text}"}) is not None  # type: ignore[arg-type]
    lines = [vars(record) for record in caplog.records if record.name == "web.keys"]
    assert [line["cost"] for line in lines] == [10, 10]


async def test_who_was_refused_is_told_and_not_without_end(
    aiohttp_client: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, text = await made(aiohttp_client, world, Scope.WRITE)
    caplog.set_level("INFO", "audit")
    assert (await client.get("/v1/graph/7", headers={"Authorization": f"Bearer {text}"})).status == 403
    for _ in range(120):
        assert (await client.get("/v1/graph/7")).status == 401
    lines = [vars(record) for record in caplog.records if record.name == "audit"]
    assert (lines[0]["event"], lines[0]["status"]) == ("request_refused", 403)
    assert lines[0]["key_id"] == text.split("_")[1]
    assert 100 <= len(lines) < 115
    assert text not in caplog.text


async def test_exports_letters_and_replays_are_told(
    aiohttp_client: Any, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client, text = await made(aiohttp_client, world, Scope.READ, Scope.ADMIN)
    caplog.set_level("INFO", "audit")
    key = {"Authorization": f"Bearer {text}"}
    await (await client.get("/v1/graph/7/export", headers=key)).read()
    await client.get("/v1/dead-letters", headers=key)
    await client.get("/v1/dead-letters?payload=true", headers=key)
    lines = [vars(record) for record in caplog.records if record.name == "audit"]
    assert [line["event"] for line in lines] == ["export_begun", "letters_read"]
    assert {line["key_id"] for line in lines} == {text.split("_")[1]}


def test_a_line_that_is_missing_shows() -> None:
    chain, told = Chain(), []
    for number in range(4):
        record = logging.makeLogRecord(
            {"name": "audit", "msg": "key %s", "args": (number,), "key_id": str(number)}
        )
        assert chain.filter(record)
        told.append((record.getMessage(), {"key_id": record.__dict__["key_id"]}, record.__dict__["chain"]))
    before = ""
    for number, (message, extras, text) in enumerate(told, start=1):
        name, place, found = text.split("-")
        assert (name, place) == (told[0][2].split("-")[0], str(number))
        before = link(before, message, extras)
        assert found == before
    without = link(link("", *told[0][:2]), *told[2][:2])
    assert without != told[2][2].split("-")[2]
