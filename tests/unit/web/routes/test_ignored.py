"""A write that leaves something out says so."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.errors import TransientError
from app.core.models import Batch, Changes
from app.core.preview import Difference, Preview
from tests.unit.web.fakes import World

Client = TestClient[Any, Any]
SYNC = {
    "entities": [{"reference": "u", "type": "user", "properties": {"a": 1, "b": 2}}],
    "relationships": [
        {
            "source_reference": "u",
            "source_type": "user",
            "target_reference": "o",
            "target_type": "org",
            "relationship_type": "member_of",
        }
    ],
}
STATUS = "sync request accepted for processing"


def answering(world: World, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    write = world.writer.write

    async def writing(batch: Batch) -> Changes:
        return replace(await write(batch), **how(batch))

    monkeypatch.setattr(world.writer, "write", writing)


async def answered(client: Client) -> Any:
    response = await client.post("/v1/graph/sync", json=SYNC)
    assert response.status == 202
    return await response.json()


async def test_nothing_is_said_where_all_was_written_or_is_there(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await answered(client) == {"status": STATUS}
    answering(world, monkeypatch, lambda batch: {"losing": frozenset(batch.rows)})
    world.preview.found = Preview()
    assert await answered(client) == {"status": STATUS}


async def test_what_is_older_is_named_and_what_is_the_same_is_not(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(world, monkeypatch, lambda batch: {"losing": frozenset(batch.rows)})

    async def preview(batch: Batch) -> Preview:
        return Preview(
            properties=[
                Difference(row=row, outcome="older" if row.field == "b" else "same")
                for row in batch.properties
            ],
            edges=[Difference(row=row, outcome="older") for row in batch.edges],
        )

    monkeypatch.setattr(world.preview, "preview", preview)
    ends = {"source_type": "user", "source_reference": "u", "target_type": "org", "target_reference": "o"}
    assert await answered(client) == {
        "status": STATUS,
        "ignored": [
            {"kind": "property", "type": "user", "reference": "u", "field": "b", "reason": "older"},
            {"kind": "relationship", **ends, "relationship_type": "member_of", "reason": "older"},
        ],
    }


async def test_what_an_erasure_took_is_named(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(world, monkeypatch, lambda batch: {"erased": frozenset(batch.rows)})
    ignored = (await answered(client))["ignored"]
    assert sorted((each["kind"], each["reason"]) for each in ignored) == [
        ("entity", "erased"),
        ("property", "erased"),
        ("property", "erased"),
        ("relationship", "erased"),
    ]


async def test_what_others_of_the_transaction_lost_is_not_told_here(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_another(batch: Batch) -> dict[str, Any]:
        return {"erased": frozenset(row._replace(reference="x") for row in batch.properties)}

    answering(world, monkeypatch, of_another)
    assert await answered(client) == {"status": STATUS}


async def test_a_primary_that_goes_away_after_the_commit_fails_no_write(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(world, monkeypatch, lambda batch: {"losing": frozenset(batch.properties)})
    world.preview.error = TransientError("gone")
    ignored = (await answered(client))["ignored"]
    assert [(each["field"], each["reason"]) for each in ignored] == [
        ("a", "older-or-same"),
        ("b", "older-or-same"),
    ]
