"""DELETE: the receipt, whoever asks for it, and what is logged."""

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.config.settings import Settings
from app.core.erasure import DeletionProgress
from app.core.errors import TransientError
from tests.unit.web.fakes import NOW, RECEIPT, TOKENS, World
from web.bodies.receipts import receipt_of

Client = TestClient[Any, Any]

BY_ID, BY_REFERENCE = "/v1/graph/7", "/v1/graph/by-reference/user/u-7"


@pytest.mark.parametrize(("path", "asked"), [(BY_ID, 7), (BY_REFERENCE, ("user", "u-7"))])
async def test_answers_the_receipt(client: Client, world: World, path: str, asked: object) -> None:
    world.eraser.checked = replace(RECEIPT, letters=4, letters_checked_at=NOW)
    response = await client.delete(path)
    assert response.status == 200
    assert world.eraser.calls == [asked]
    assert response.headers["Consistency-Token"] == TOKENS.spell(RECEIPT.position)
    assert response.headers["Cache-Control"] == "no-store"
    receipt = await response.json()
    assert receipt.pop("not_reached")
    assert receipt == {
        "ledger_id": "ab" * 32,
        "erased_at": "2025-10-05T12:00:00.123456Z",
        "removed": {"entities": 1, "properties": 3, "relationships": 2, "temporal_points": 5},
        "caches": "invalidated",
        "dead_letters": {"state": "removed", "removed": 4, "checked_at": "2025-10-05T12:00:00.123456Z"},
    }


RECEIPTS = f"/v1/erasures/{RECEIPT.ledger_id}"


@pytest.mark.parametrize("path", [BY_ID, BY_REFERENCE])
async def test_one_that_is_deleted_in_pieces_says_how_far_it_is(
    client: Client, world: World, path: str
) -> None:
    going_on = DeletionProgress(done=False, deleted=1_000, to_delete=5_000)
    world.eraser.checked = replace(RECEIPT, edges=1_000, deletion=going_on)
    for response in (await client.delete(path), await client.get(RECEIPTS)):
        assert response.status == 202
        assert response.headers["Location"] == RECEIPTS
        assert response.headers["Consistency-Token"] == TOKENS.spell(RECEIPT.position)
        receipt = await response.json()
        assert receipt["state"] == "deleting"
        assert receipt["progress"] == {"rows_deleted": 1_000, "rows_total": 5_000}
        assert receipt["removed"]["relationships"] == 1_000
    world.eraser.checked = replace(
        RECEIPT, edges=5_000, deletion=DeletionProgress(done=True, deleted=5_000, to_delete=5_000)
    )
    for response in (await client.delete(path), await client.get(RECEIPTS)):
        assert response.status == 200
        assert "Location" not in response.headers
        receipt = await response.json()
        assert (receipt["state"], receipt["removed"]["relationships"]) == ("deleted", 5_000)


async def test_a_receipt_can_be_read_again(client: Client, world: World) -> None:
    deleted = await (await client.delete(BY_ID)).json()
    response = await client.get(RECEIPTS)
    assert response.status == 200
    assert await response.json() == deleted
    assert world.eraser.calls == [7]
    assert (await client.get("/v1/erasures/" + "0" * 64)).status == 404
    assert (await client.get("/v1/erasures/abc")).status == 400


async def test_waits_for_the_letters_and_no_longer_than_a_part_of_the_limit(
    client: Client, world: World
) -> None:
    receipt = await (await client.delete(BY_ID)).json()
    assert world.letters.waits == [pytest.approx(0.05)]  # the limit is 0.2
    assert receipt["dead_letters"] == {"state": "pending", "removed": 0, "checked_at": None}


async def test_what_is_committed_is_answered_when_the_ledger_can_not_be_asked_again(
    client: Client, world: World
) -> None:
    world.eraser.asked_again = TransientError("gone")
    response = await client.delete(BY_ID)
    assert response.status == 200
    assert (await response.json())["dead_letters"]["state"] == "pending"


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/v1/graph/8", 404, "not-found"),
        ("/v1/graph/by-reference/user/nobody", 404, "not-found"),
        ("/v1/graph/x", 400, "invalid-parameter"),
        ("/v1/graph/by-reference/user/", 400, "invalid-parameter"),
        ("/v1/graph/sync", 405, "method-not-allowed"),
    ],
)
async def test_problems(client: Client, path: str, status: int, problem: str) -> None:
    response = await client.delete(path)
    body = await response.json(content_type=None)
    assert (response.status, body["type"]) == (status, f"/problems/{problem}")


async def test_unavailable_says_to_ask_again(client: Client, world: World) -> None:
    world.eraser.error = TransientError("connection lost at commit")
    response = await client.delete(BY_ID)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_the_audit_log_has_a_line_without_personal_data(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="audit"):
        await client.delete(BY_REFERENCE, headers={"X-Request-Id": "r-1"})
        await client.delete("/v1/graph/8")
    (record,) = [record for record in caplog.records if record.name == "audit"]
    assert record.event == "entity_erased"
    assert record.request_id == "r-1"
    assert record.ledger_id == "ab" * 32
    assert record.removed == {"entities": 1, "properties": 3, "relationships": 2, "temporal_points": 5}
    assert "u-7" not in json.dumps(record.__dict__, default=str)


def test_what_it_can_not_reach_is_told_with_dates_where_there_are_any() -> None:
    settings = Settings(_env_file=None, topic_prefix="t.", backup_retention_days=30)
    told = {each.what: each for each in receipt_of(RECEIPT, settings).not_reached}
    assert told["cdc_topic"].names == ["t.user-profile.cdc.all-tables"]
    # A day more than the retention, since Kafka deletes whole segments.
    assert told["cdc_topic"].until == "2025-10-13T12:00:00.123456Z"
    assert told["backups"].until == f"{(NOW + timedelta(days=30)).date()}T12:00:00.123456Z"
    assert "t.payment.events" in told["source_topics"].names
    assert told["source_topics"].until == "2025-10-13T12:00:00.123456Z"
    assert told["dead_letter_topics"].until == "2025-11-05T12:00:00.123456Z"
    assert told["normalised_topics"].until == "2025-10-13T12:00:00.123456Z"
    assert told["domain_events"].until == "2025-11-05T12:00:00.123456Z"
    assert told["published_notes"].until == "2025-10-06T18:00:00.123456Z"
    assert told["write_ahead_log"].until is None
    endless = settings.model_copy(update={"domain_event_retention_days": 0})
    assert {each.what: each.until for each in receipt_of(RECEIPT, endless).not_reached}[
        "domain_events"
    ] is None
    topics = {name for each in told.values() for name in each.names}
    assert topics == {spec.name for spec in settings.topic_specs}, "each topic is named"
    unset = receipt_of(RECEIPT, Settings(_env_file=None)).not_reached
    assert {each.what: each.until for each in unset}["backups"] is None


def test_letters_that_were_left_are_named_with_the_reason() -> None:
    settings = Settings(_env_file=None, topic_prefix="t.")
    left = replace(RECEIPT, letters_left=30, letters_left_ids=("t.crm.events/0/1", "t.temporal-data/2/7"))
    (told,) = [each for each in receipt_of(left, settings).not_reached if each.what == "dead_letters"]
    assert told.names == ["t.crm.events/0/1", "t.temporal-data/2/7"]
    assert told.note.startswith("30 dead letters")
    assert not [each for each in receipt_of(RECEIPT, settings).not_reached if each.what == "dead_letters"]


async def test_an_id_that_was_merged_erases_nothing_and_names_the_other(client: Client, world: World) -> None:
    world.entities.moved = {8: 7}
    response = await client.delete("/v1/graph/8", allow_redirects=False)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"], problem["moved_to"]) == (409, "/problems/merged", 7)
    assert "Location" not in response.headers
    assert world.eraser.calls == [8]
    assert (await client.delete("/v1/graph/9")).status == 404
