"""The slot is lost: it is named, and the recovery makes a consumer's view equal to the database again."""

import pytest

from app.core.errors import FatalError
from cdc.connector.config import config_of
from tests.integration.cdc.capture import Capture, edge, entity, forgettable, point

pytestmark = pytest.mark.integration


@pytest.mark.timeout(600)
@pytest.mark.parametrize("events", ["kept", "ended"])
async def test_after_a_lost_slot_the_view_equals_the_database_again(capture: Capture, events: str) -> None:
    sql = capture.sql
    await capture.connect.register(capture.name, config_of(capture.settings))
    stays, goes, changes = [await entity(sql, name) for name in ("stays", "goes", "changes")]
    doomed, marked, changed = (
        await edge(sql, goes, stays),
        await edge(sql, stays, changes),
        await edge(sql, changes, stays),
    )
    for month in ("2025-01", "2025-02"):
        await point(sql, stays, month)
    known, missed = await forgettable(sql, "known", stays), await forgettable(sql, "missed", stays)
    await capture.until_view_is_true()
    assert await capture.stores.eraser.erase_id(known) is not None
    await capture.until_view_is_true()

    await capture.until_stored()
    if events == "ended":
        await capture.end_events()
    await capture.drop_slot()
    async with sql.transaction():
        await sql.execute("DELETE FROM edges WHERE id = $1", doomed)
        await sql.execute("DELETE FROM entities WHERE id = $1", goes)
        await sql.execute("UPDATE edges SET removed_at = now() WHERE id = $1", marked)
        await sql.execute("""UPDATE edges SET metadata = '{"since": 2}' WHERE id = $1""", changed)
        await sql.execute("""UPDATE entities SET properties = '{"n": {"value": 2}}' WHERE id = $1""", changes)
        await sql.execute("DELETE FROM temporal_properties WHERE idempotency_key LIKE '%2025-02'")
        await point(sql, changes, "2025-03")
        await edge(sql, await entity(sql, "new"), stays)
    await entity(sql, "goes", '{"again": {"value": true}}')
    receipt = await capture.stores.eraser.erase_id(missed)
    assert receipt is not None

    await capture.until_failed()
    report = await capture.look()
    assert report.missing_changes
    assert "is gone" in (report.slot_fault or "")
    assert "connector recover" in (report.connector_fault(max_lag_s=60) or "")
    with pytest.raises(FatalError):  # nothing makes it go on behind the gap
        await capture.connect.register(capture.name, config_of(capture.settings))
    assert await capture.view() != await capture.truth()

    published = await capture.recover()
    assert published["relationship_deleted"] == 2 + 2
    assert published["temporal_data_deleted"] == 1 + 1
    assert published["entity_deleted"] == 1, "goes is there again"
    assert await capture.recovered_erasure() == (f"entity-{missed}", receipt.ledger_id)
    await entity(sql, "later")
    await capture.until_view_is_true()
    report = await capture.look()
    assert (report.slot_fault, report.connector_fault(max_lag_s=60)) == (None, None)
    assert capture.worker.log.count("is gone") == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["running", "stopped"])
async def test_a_slot_that_was_made_anew_is_named_and_nothing_is_missed(capture: Capture, when: str) -> None:
    """Under the connector's feet, or while it was stopped; what was committed in between is in neither slot."""
    sql = capture.sql
    await capture.connect.register(capture.name, config_of(capture.settings))
    friend = await entity(sql, "before")
    await capture.until_view_is_true()
    await capture.until_stored()
    if when == "stopped":
        await capture.connect.stop(capture.name)
        await capture.connect.wait_for(capture.name, "STOPPED")
    await capture.drop_slot()
    between = await entity(sql, "between")
    await edge(sql, between, friend)
    await capture.stores.slots.create(capture.settings.cdc_slot)
    if when == "stopped":
        await capture.connect.resume(capture.name)
    await entity(sql, "after")
    await capture.until_failed()
    report = await capture.look()
    assert report.missing_changes
    assert "was made anew" in (report.slot_fault or "")
    assert "connector recover" in (report.connector_fault(max_lag_s=60) or "")
    with pytest.raises(FatalError):  # nothing makes it go on behind the gap
        await capture.connect.register(capture.name, config_of(capture.settings))
    assert set(await capture.view()) == {("entity", "user", "before")}, "it read the new slot, past a gap"
    assert capture.worker.log.count("was made anew") >= 1

    published = await capture.recover()
    # What was written within two minutes before the position is told once more.
    assert published == {"entity_created": 3, "relationship_created": 1}
    await entity(sql, "later")
    await capture.until_view_is_true()
