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
    told = {each.what: each for each in receipt_of(RECEIPT, settings, None).not_reached}
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
    assert {each.what: each.until for each in receipt_of(RECEIPT, endless, None).not_reached}[
        "domain_events"
    ] is None
    topics = {name for each in told.values() for name in each.names}
    assert topics == {spec.name for spec in settings.topic_specs}, "each topic is named"
    unset = receipt_of(RECEIPT, Settings(_env_file=None), None).not_reached
    assert {each.what: each.until for each in unset}["backups"] is None


def test_letters_that_were_left_are_named_with_the_reason() -> None:
    settings = Settings(_env_file=None, topic_prefix="t.")
    left = replace(RECEIPT, letters_left=30, letters_left_ids=("t.crm.events/0/1", "t.temporal-data/2/7"))
    (told,) = [each for each in receipt_of(left, settings, None).not_reached if each.what == "dead_letters"]
    assert told.names == ["t.crm.events/0/1", "t.temporal-data/2/7"]
    assert told.note.startswith("30 dead letters")
    assert not [
        each for each in receipt_of(RECEIPT, settings, None).not_reached if each.what == "dead_letters"
    ]


async def test_an_id_that_was_merged_erases_nothing_and_names_the_other(client: Client, world: World) -> None:
    world.entities.moved = {8: 7}
    response = await client.delete("/v1/graph/8", allow_redirects=False)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"], problem["moved_to"]) == (409, "/problems/merged", 7)
    assert "Location" not in response.headers
    assert world.eraser.calls == [8]
    assert (await client.delete("/v1/graph/9")).status == 404


DAY = 86_400_000


def configs_of(settings: Settings, **changes: dict[str, str]) -> dict[str, dict[str, str]]:
    """As a broker tells them: those of the settings, but for these topics."""
    return {spec.name: {**spec.config, **changes.get(spec.name, {})} for spec in settings.topic_specs}


def test_dates_are_those_of_the_broker_for_each_topic() -> None:
    settings = Settings(_env_file=None, topic_prefix="t.")
    events, crm, cdc = "t.user-profile.domain-events.v1", "t.crm.events", "t.user-profile.cdc.all-tables"
    configs = configs_of(
        settings,
        **{
            events: {"cleanup.policy": "compact", "retention.ms": str(DAY)},  # never deleted by time
            crm: {"retention.ms": str(90 * DAY), "segment.ms": str(7 * DAY)},
            cdc: {"retention.ms": str(DAY // 2), "segment.ms": str(DAY // 2)},
            "t.entities-edges": {"retention.ms": str(DAY), "segment.ms": str(DAY)},  # sooner than ours
        },
    )
    told = {each.what: each for each in receipt_of(RECEIPT, settings, configs).not_reached}
    assert told["cdc_topic"].until_of == {cdc: "2025-10-06T12:00:00.123456Z"}
    assert told["cdc_topic"].note == "Changes from before the erasure, and the deletes themselves."
    assert told["domain_events"].until is None
    assert told["domain_events"].until_of == {events: None}
    assert f"Without end, as the topics are set: {events}." in told["domain_events"].note
    sources = told["source_topics"].until_of
    assert sources is not None
    assert sources[crm] == told["source_topics"].until == "2026-01-10T12:00:00.123456Z"
    assert sources["t.cdp.events"] == "2025-10-13T12:00:00.123456Z"
    normalised = told["normalised_topics"].until_of
    assert normalised is not None
    assert sorted(set(normalised.values())) == ["2025-10-07T12:00:00.123456Z", "2025-10-13T12:00:00.123456Z"]
    assert all("settings" not in each.note for each in told.values())


@pytest.mark.parametrize(
    "config",
    [
        {"retention.ms": "-1"},
        {"retention.ms": str(2**63 - 1)},
        {"retention.ms": str(2**62)},
        {"segment.ms": str(2**63 - 1)},
        {"message.timestamp.type": "CreateTime"},
    ],
)
def test_one_topic_without_an_end_leaves_its_kind_without(config: dict[str, str]) -> None:
    settings = Settings(_env_file=None)
    configs = configs_of(settings, **{"crm.events": config})
    (told,) = [
        each for each in receipt_of(RECEIPT, settings, configs).not_reached if each.what == "source_topics"
    ]
    assert told.until is None
    assert told.until_of is not None
    assert [name for name, until in told.until_of.items() if until is None] == ["crm.events"]
    assert told.note.endswith(" Without end, as the topics are set: crm.events.")


def test_letters_that_were_left_end_by_time_alone() -> None:
    """A compaction does not remove them: nobody put an end under their keys."""
    settings = Settings(_env_file=None)
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(DAY), "segment.ms": str(DAY)}
    configs = configs_of(settings, **{"crm.events.dlq": compacted})
    left = replace(RECEIPT, letters_left=1, letters_left_ids=("crm.events/0/1",))
    told = {each.what: each for each in receipt_of(left, settings, configs).not_reached}
    assert told["dead_letters"].until_of == {"crm.events.dlq": None}
    assert "Without end" in told["dead_letters"].note
    letters = told["dead_letter_topics"].until_of
    assert letters is not None
    assert letters["crm.events.dlq"] == "2025-10-07T12:00:00.123456Z"


def test_what_kafka_did_not_say_is_by_the_settings_and_the_receipt_says_so() -> None:
    settings = Settings(_env_file=None)
    said = "By this service's settings, since Kafka did not say what is set: "
    for each in receipt_of(RECEIPT, settings, None).not_reached:
        assert (said in each.note) == bool(each.until_of)
    configs = configs_of(settings)
    del configs["crm.events"]
    notes = [each.note for each in receipt_of(RECEIPT, settings, configs).not_reached if said in each.note]
    (note,) = notes
    assert note.endswith(said + "crm.events.")
